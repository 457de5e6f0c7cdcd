import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Check, Report } from "../../src/cli/doctor/diagnose.ts";
import { inNamespacesOf, OWN, Peer, refused, withShm } from "../memory/peers/peer.ts";
import { onBun, type Outcome, outcome } from "./spawn.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const ROOMY = withShm("size=64m"), SMALL = withShm("size=8m"), TINY = withShm("size=4k"), READ_ONLY = withShm("ro");

/** Runs the doctor where a command prefix leads. */
function doctor(through: readonly string[], ...args: string[]): Promise<Outcome> {
  const run = [...through, process.execPath, "run", ...(onBun ? [] : ["-A"]), MAIN, "doctor", ...args];
  return outcome(spawn(run[0]!, run.slice(1)));
}

/** The line of the doctor's that begins with a name. */
function lineOf(name: string, { code, stdout, stderr }: Outcome): string {
  assert.equal(code, 0, stdout + stderr);
  return stdout.split("\n").find((line) => line.slice(2).startsWith(name)) ?? `no ${name} in ${stdout}`;
}

async function checkOf(name: string, through: readonly string[], ...args: string[]): Promise<Check> {
  const { code, stdout, stderr } = await doctor(through, "--json", ...args);
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as Report).checks.find((check) => check.name === name)!;
}

describe("coload doctor, of shared memory", { skip: refused(ROOMY) }, () => {
  it("says what works, and that nothing is left over", async () => {
    const said = await doctor(ROOMY);
    assert.equal(lineOf("shm", said), "✓ shm       /dev/shm: 64 MiB free of 64 MiB");
    assert.match(lineOf("memfd", said), /^✓ memfd {5}files in memory, sealed/);
    assert.equal(lineOf("left over", said), "✓ left over nothing is left of dead processes in /dev/shm");
  });

  it("says it for programs", async () => {
    const { stdout } = await doctor(ROOMY, "--json"), { ok, checks }: Report = JSON.parse(stdout);
    const found = checks.filter(({ name }) => ["shm", "memfd", "left over"].includes(name));
    assert.deepEqual(found.map(({ name, state }) => [name, state]), [
      ["shm", "works"],
      ["memfd", "works"],
      ["left over", "works"],
    ]);
    assert.ok(ok);
  });

  it("counts what killed processes left, and removes it when asked", async () => {
    await using here = await Peer.start(OWN, { through: ROOMY });
    const through = inNamespacesOf(here), doomed = await Peer.start(OWN, { through });
    await doomed.ask("allocate", "uint8", [100]);
    await doomed.ask("makeRegion", "named");
    await doomed.kill();
    const left = await checkOf("left over", through);
    assert.equal(left.state, "slow");
    assert.match(left.says, /^2 regions of dead processes in \/dev\/shm, 16\.\d MiB$/);
    assert.match(left.mend!, /coload doctor --sweep/);
    assert.match(lineOf("left over", await doctor(through)), /^! left over 2 regions of dead processes/);
    const swept = lineOf("left over", await doctor(through, "--sweep"));
    assert.match(swept, /^✓ left over removed 2 left-overs of dead processes, 16\.\d MiB$/);
    assert.match(lineOf("shm", await doctor(through)), /64 MiB free of 64 MiB/);
  });

  it("neither counts nor removes what the living have, nor what is on its way", async () => {
    await using here = await Peer.start(OWN, { through: ROOMY });
    const through = inNamespacesOf(here), { id } = await here.ask("allocate", "uint8", [100]);
    const sender = await Peer.start(OWN, { through }), sent = await sender.ask("allocate", "uint8", [100]);
    const ref = await sender.ask("handOff", sent.id);
    await sender.kill();
    assert.equal((await checkOf("left over", through)).says, "nothing is left of dead processes in /dev/shm");
    const { says } = await checkOf("left over", through, "--sweep");
    assert.equal(says, "removed 0 left-overs of dead processes, 0 bytes");
    await here.ask("fill", id, 1);
    await here.ask("fill", await here.ask("open", ref), 2);
    assert.ok(await here.ask("isFilled", id, 1));
  });

  it("says that a small /dev/shm is small, and how to mend that", async () => {
    const { state, says, mend } = await checkOf("shm", SMALL);
    assert.equal(state, "slow");
    assert.match(says, /^\/dev\/shm: 8 MiB free of 8 MiB: large tensors may fail with OUT_OF_MEMORY$/);
    assert.match(mend!, /--shm-size/);
  });

  for (
    const [what, through, why] of [["tiny", TINY, "4096 bytes free"], ["read-only", READ_ONLY, "Read-only"]] as const
  ) {
    it(`says of a ${what} /dev/shm why it is not used, and what is instead`, async () => {
      await using here = await Peer.start(OWN, { through });
      const { state, says } = await checkOf("shm", inNamespacesOf(here));
      assert.equal(state, "slow");
      assert.ok(says.includes(why), says);
      const backend = await here.ask("allocate", "uint8", [1]).then(() => here.ask("metrics"), () => undefined);
      assert.equal(says.includes("memfd is used instead"), backend?.backend === "memfd", says);
    });
  }
});
