import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { outcome } from "../cli/spawn.ts";
import type { Toll } from "./peers/kills.ts";
import { commandOf, OWN, refused, withShm } from "./peers/peer.ts";

const KILLS = Number(process.env.COLOAD_KILLS ?? 12);
const SCRIPT = fileURLToPath(new URL("peers/kills.ts", import.meta.url));
/** A /dev/shm where nobody else leaves anything, or cleans up. */
const OWN_SHM = withShm("size=1g");

describe("shared memory of processes that are killed at random instants", () => {
  it(`is as if they had let it go, after ${KILLS} of them`, { timeout: 60_000 + 2000 * KILLS }, async () => {
    const through = refused(OWN_SHM) ? [] : OWN_SHM;
    const [program, ...args] = [...through, ...commandOf(OWN, SCRIPT), String(KILLS)];
    const child = spawn(program!, args), watchdog = setTimeout(() => child.kill("SIGKILL"), 50_000 + 2000 * KILLS);
    const { code, stdout, stderr } = await outcome(child);
    clearTimeout(watchdog);
    assert.deepEqual([code, stderr], [0, ""], stdout);
    if (process.env.COLOAD_KILLS) console.log(stdout);
    const { kills, opened, complaints, left, isIntact, bytesInUse }: Toll = JSON.parse(stdout);
    assert.deepEqual({ kills, complaints, left, isIntact }, { kills: KILLS, complaints: [], left: [], isIntact: true });
    assert.ok(opened > 0, "the survivors opened what others handed off");
    assert.equal(bytesInUse[1], bytesInUse[0]);
  });
});
