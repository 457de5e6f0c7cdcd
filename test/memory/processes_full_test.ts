import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failure } from "../support/sessions.ts";
import { inNamespacesOf, missing, OTHER, OWN, Peer, refused, type Runtime, withShm } from "./peers/peer.ts";

const RUNTIMES: readonly Runtime[] = [OWN, OTHER];
const SMALL = withShm("size=8m"), TINY = withShm("size=4k"), READ_ONLY = withShm("ro,size=8m");
const MIB = 1 << 20;
const FULL = failure("MemoryError", "OUT_OF_MEMORY", /\/dev\/shm has \d+ bytes free/);

for (const runtime of RUNTIMES) {
  const skip = missing(runtime) || refused(SMALL);

  describe(`a /dev/shm of 8 MiB, under ${runtime}`, { skip }, () => {
    it("refuses what does not fit, with the bytes in question, and takes what does", async () => {
      await using peer = await Peer.start(runtime, { through: SMALL });
      const error = await peer.ask("allocate", "uint8", [9 * MIB]).catch((error) => error);
      assert.deepEqual([error.name, error.code], ["MemoryError", "OUT_OF_MEMORY"], error.message);
      assert.ok(error.neededBytes >= 9 * MIB && error.availableBytes <= 8 * MIB, error.message);
      const { id } = await peer.ask("allocate", "uint8", [5 * MIB]);
      await peer.ask("fill", id, 255);
      assert.ok(await peer.ask("isFilled", id, 255));
      assert.equal((await peer.ask("metrics")).backend, "named");
    });

    it("can be written to the last byte that was handed out", async () => {
      await using peer = await Peer.start(runtime, { through: SMALL });
      await peer.ask("allocateBy", { arenaBytes: MIB });
      const tensors: number[] = [];
      const allocateAll = async () => {
        for (;;) tensors.push((await peer.ask("allocate", "uint8", [256 << 10])).id);
      };
      await assert.rejects(allocateAll(), FULL);
      assert.ok(tensors.length >= 24, `${tensors.length} tensors`);
      for (const [i, id] of tensors.entries()) await peer.ask("fill", id, i);
      for (const [i, id] of tensors.entries()) assert.ok(await peer.ask("isFilled", id, i));
      await peer.ask("dispose", tensors[0]!);
      await peer.ask("allocate", "uint8", [256 << 10]);
    });

    it("is swept when there is no room, of what a killed process left", async () => {
      await using peer = await Peer.start(runtime, { through: SMALL });
      const { id } = await peer.ask("allocate", "uint8", [MIB]);
      const doomed = await Peer.start(runtime, { through: inNamespacesOf(peer) });
      await doomed.ask("allocateBy", { arenaBytes: MIB });
      await doomed.ask("allocate", "uint8", [5 * MIB]);
      await assert.rejects(peer.ask("allocate", "uint8", [6 * MIB]), FULL);
      await doomed.kill();
      await peer.ask("dispose", id);
      await peer.ask("fill", (await peer.ask("allocate", "uint8", [6 * MIB])).id, 1);
    });

    it("has no room for a region that does not fit", async () => {
      await using peer = await Peer.start(runtime, { through: TINY });
      await assert.rejects(peer.ask("makeRegion", "named"), FULL);
      assert.match(await peer.ask("makeRegion", "memfd"), /^memfd-/);
    });
  });

  describe(`a /dev/shm that nothing can be written to, under ${runtime}`, { skip }, () => {
    it("is done without: by memfd, unless named memory is asked for", async () => {
      await using peer = await Peer.start(runtime, { through: READ_ONLY });
      const { id, word } = await peer.ask("allocate", "uint8", [20 * MIB]);
      assert.equal((await peer.ask("metrics")).backend, "memfd");
      await using other = await Peer.start(runtime, { through: inNamespacesOf(peer) });
      await other.ask("write", await other.ask("open", word), 7, 7);
      assert.equal(await peer.ask("read", id, 7), 7);
      await peer.ask("allocateBy", { backend: "named" });
      await assert.rejects(peer.ask("allocate", "uint8", [1]), failure("SystemError", "SYSTEM", /\/dev\/shm/));
      await assert.rejects(peer.ask("makeRegion", "named"), failure("SystemError", "SYSTEM", /\/dev\/shm/));
    });

    it("leaves tensors to travel as bytes", async () => {
      await using peer = await Peer.start(runtime, { through: READ_ONLY });
      assert.deepEqual(await peer.ask("travelAsBytes", [1, 2.5, -3]), [1, 2.5, -3]);
    });
  });
}
