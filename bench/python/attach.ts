import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SharedMemoryAllocator } from "../../mod.ts";
import type { Python } from "../../src/python/mod.ts";
import { atMost, type Row, table } from "../support/report.ts";

const SCRIPT = fileURLToPath(new URL("./attach.py", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../src/python", import.meta.url));
const SIZES: Readonly<Record<string, number>> = { "1 KiB": 1024, "1 MiB": 2 ** 20, "1 GiB": 2 ** 30 };
const WAYS = {
  memmap: "peer: np.memmap, which holds nothing",
  attach: "coload_shm.open, .numpy() and let go",
  open: "of that, coload_shm.open",
};
const BAR_US = 10, WATCHDOG_MS = 120_000;

/** What another process of Python takes to see a tensor of this one's. */
export function attach(python: Python): void {
  using allocator = new SharedMemoryAllocator(), owned = new DisposableStack();
  const refs = Object.values(SIZES).map((bytes) => owned.use(allocator.tensor("uint8", [bytes])).ref);
  const args = ["-B", SCRIPT, FOLDER, JSON.stringify(refs)];
  const { status, stdout, stderr } = spawnSync(python.executable, args, { encoding: "utf8", timeout: WATCHDOG_MS });
  if (status !== 0) throw new Error(stderr);
  const us = JSON.parse(stdout) as Record<keyof typeof WAYS, number[]>;
  table(
    "attaching from another process of Python, its arena mapped already",
    (Object.keys(WAYS) as (keyof typeof WAYS)[]).map((way): Row => ({
      what: WAYS[way],
      ...Object.fromEntries(Object.keys(SIZES).map((size, i) => [`${size}: p50 us`, us[way][i]])),
      ...way === "attach" && atMost(Math.max(...us[way]), BAR_US, " us"),
    })),
  );
}
