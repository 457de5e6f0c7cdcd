import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { removeTree } from "../../ffi/file_tree.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";

const WRITES =
  'echo; i=0; while [ "$i" -lt 100000 ] && : 2>/dev/null > "$1/late$i"; do i=$((i + 1)); sleep 0.001; done';

describe("removing a folder", () => {
  it("removes also what another process puts into it meanwhile", async () => {
    using folder = new TemporaryFolder();
    const full = folder.join("full");
    mkdirSync(full);
    for (let i = 0; i < 5_000; i++) writeFileSync(`${full}/${i}`, "");
    const writer = spawn("sh", ["-c", WRITES, "sh", full]),
      ended = new Promise((resolve) => writer.once("exit", resolve));
    await new Promise((resolve) => writer.stdout.once("data", resolve));
    try {
      removeTree(full);
      assert.equal(existsSync(full), false);
    } finally {
      writer.kill();
      await ended;
    }
  });
});
