import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { failure } from "../support/sessions.ts";
import { isNamed, missing, openRegions, PAIRINGS, Peer } from "./peers/peer.ts";

const STALE = failure("ReferenceError", "STALE_REFERENCE");
const pairings = PAIRINGS.flatMap(([from, to]) => (["named", "memfd"] as const).map((by) => [from, to, by] as const));

for (const [from, to, backend] of pairings) {
  describe(`a ${backend} tensor of a ${from} process, opened by a ${to} process`, { skip: missing(from, to) }, () => {
    let owner: Peer, reader: Peer;

    async function startOwner(): Promise<Peer> {
      const peer = await Peer.start(from);
      await peer.ask("allocateBy", { backend });
      return peer;
    }

    before(async () => {
      [owner, reader] = await Promise.all([startOwner(), Peer.start(to)]);
    });

    after(async () => {
      await Promise.all([owner[Symbol.asyncDispose](), reader[Symbol.asyncDispose]()]);
    });

    it("is the same memory, whether by JSON or by a word", async () => {
      const { id, ref, word } = await owner.ask("allocate", "float32", [2, 3]);
      const [byJson, byWord] = [await reader.ask("open", JSON.stringify(ref)), await reader.ask("open", word)];
      await owner.ask("write", id, 5, 1.5);
      await reader.ask("write", byJson, 0, 0.25);
      assert.deepEqual([await reader.ask("read", byWord, 5), await owner.ask("read", id, 0)], [1.5, 0.25]);
      await Promise.all([reader.ask("dispose", byJson), reader.ask("dispose", byWord), owner.ask("dispose", id)]);
      assert.equal((await owner.ask("metrics")).bytesInUse, 0);
    });

    it("is read while a write through a read-only tensor touches nobody's memory", async () => {
      const { id, ref } = await owner.ask("allocate", "uint8", [10_000]);
      await owner.ask("fill", id, 7);
      const opened = await reader.ask("open", ref, { readOnly: true });
      assert.ok(await reader.ask("isFilled", opened, 7));
      await reader.ask("fill", opened, 9);
      assert.ok(await owner.ask("isFilled", id, 7));
      await Promise.all([reader.ask("dispose", opened), owner.ask("dispose", id)]);
    });

    it("stays after its owner disposed of it, until the reader lets it go", async () => {
      const { id, ref } = await owner.ask("allocate", "uint8", [100_000]);
      await owner.ask("fill", id, 3);
      const opened = await reader.ask("open", ref);
      await owner.ask("dispose", id);
      const other = await owner.ask("allocate", "uint8", [100_000]);
      await owner.ask("fill", other.id, 4);
      assert.ok(await reader.ask("isFilled", opened, 3));
      await owner.ask("dispose", other.id);
      assert.ok((await owner.ask("metrics")).bytesInUse >= 100_000);
      await reader.ask("dispose", opened);
      assert.equal((await owner.ask("metrics")).bytesInUse, 0);
    });

    it("stays after its allocator was disposed, until the reader lets it go", async () => {
      await using owner = await startOwner();
      const { id, ref } = await owner.ask("allocate", "uint8", [100_000]);
      await owner.ask("fill", id, 5);
      await reader.ask("sweep"); // leaves the regions of tests before
      const before = openRegions(reader.pid), opened = await reader.ask("open", ref);
      await owner.ask("disposeAllocator");
      assert.equal(openRegions(owner.pid), 0);
      assert.ok(await reader.ask("isFilled", opened, 5));
      await reader.ask("dispose", opened);
      assert.deepEqual([isNamed(ref), openRegions(reader.pid)], [false, before]);
      await assert.rejects(reader.ask("open", ref), STALE);
    });

    for (const how of ["exit", "kill"] as const) {
      it(`stays after its owner ended by ${how}, until the reader lets it go`, async () => {
        const owner = await startOwner();
        const { id, ref } = await owner.ask("allocate", "uint8", [100_000]);
        await owner.ask("fill", id, 6);
        await reader.ask("sweep"); // leaves the regions of tests before
        const before = openRegions(reader.pid), opened = await reader.ask("open", ref);
        await owner[how]();
        await reader.ask("sweep");
        assert.ok(await reader.ask("isFilled", opened, 6));
        await reader.ask("dispose", opened);
        assert.deepEqual([isNamed(ref), openRegions(reader.pid)], [false, before]);
        await assert.rejects(reader.ask("open", ref), STALE);
      });
    }

    if (backend === "named") { // a memfd is opened through its owner only
      it("is opened by a third process after its owner was killed, when others in its region went", async () => {
        await using third = await Peer.start(to);
        const mine = await third.ask("allocate", "uint8", [1]); // its first use of shared memory sweeps
        await third.ask("dispose", mine.id);
        const owner = await startOwner(), one = await owner.ask("allocate", "uint8", [100_000]);
        const { id, ref } = await owner.ask("allocate", "uint8", [100_000]);
        await owner.ask("fill", one.id, 8);
        const [opened, other] = [await reader.ask("open", one.ref), await reader.ask("open", ref)];
        await owner.ask("dispose", id);
        await owner.kill();
        await reader.ask("dispose", other);
        assert.ok(await third.ask("isFilled", await third.ask("open", one.ref), 8));
        await reader.ask("dispose", opened);
      });
    }

    for (const how of ["exit", "kill"] as const) {
      it(`is the owner's again after a sweep when the reader ended by ${how}`, async () => {
        const { tensors } = await owner.ask("metrics");
        const { id, ref } = await owner.ask("allocate", "uint8", [1000]);
        const doomed = await Peer.start(to);
        await doomed.ask("open", ref);
        await owner.ask("dispose", id);
        await doomed[how]();
        await owner.ask("sweep");
        assert.equal((await owner.ask("metrics")).tensors, tensors);
      });
    }

    it("is no more when it was freed, nor when its memory is another tensor's", async () => {
      const { id, ref } = await owner.ask("allocate", "int32", [1000]);
      await owner.ask("dispose", id);
      await assert.rejects(reader.ask("open", ref), STALE);
      const again = await owner.ask("allocate", "int32", [1000]);
      assert.equal(again.ref.byteOffset, ref.byteOffset);
      await assert.rejects(reader.ask("open", ref), STALE);
      await owner.ask("dispose", again.id);
    });

    it("is no more when its region is gone, whatever the number of its descriptor is by then", async () => {
      await using owner = await startOwner();
      const { ref } = await owner.ask("allocate", "int32", [10]);
      await owner.ask("disposeAllocator");
      const files = ["/", "/dev/null", fileURLToPath(import.meta.url)];
      for (let i = 0; i < 60; i++) {
        await owner.ask("openFiles", [files[i % 3]!]);
        await assert.rejects(reader.ask("open", ref), STALE);
      }
    });

    it("is no more when its region died", async () => {
      const owner = await startOwner();
      const { ref } = await owner.ask("allocate", "int32", [10]);
      await owner.kill();
      await reader.ask("sweep");
      await assert.rejects(reader.ask("open", ref), STALE);
    });
  });
}
