import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { failure } from "../support/sessions.ts";
import { isNamed, missing, openRegions, PAIRINGS, Peer } from "./peers/peer.ts";

const STALE = failure("ReferenceError", "STALE_REFERENCE");

for (const [from, to] of PAIRINGS) {
  describe(`a tensor that a ${from} process hands off to a ${to} process`, { skip: missing(from, to) }, () => {
    let reader: Peer;

    async function startSender(backend: "named" | "memfd"): Promise<Peer> {
      const peer = await Peer.start(from);
      await peer.ask("allocateBy", { backend });
      return peer;
    }

    before(async () => {
      reader = await Peer.start(to);
    });

    after(() => reader[Symbol.asyncDispose]());

    for (const how of ["exit", "kill"] as const) {
      it(`is opened after the sender ended by ${how}, and is gone with who opened it`, async () => {
        const sender = await startSender("named"), { id } = await sender.ask("allocate", "uint8", [100_000]);
        await sender.ask("fill", id, 8);
        const ref = await sender.ask("handOff", id);
        await sender[how]();
        await reader.ask("sweep"); // finds nobody alive, and leaves what is on its way
        const opened = await reader.ask("open", ref);
        assert.ok(await reader.ask("isFilled", opened, 8));
        await reader.ask("dispose", opened);
        assert.ok(!isNamed(ref));
        await assert.rejects(reader.ask("open", ref), STALE);
      });
    }

    for (const backend of ["named", "memfd"] as const) {
      it(`is opened after the sender disposed of its allocator, by ${backend}`, async () => {
        await using sender = await startSender(backend);
        const { id } = await sender.ask("allocate", "uint8", [1000]);
        await sender.ask("fill", id, 2);
        const ref = await sender.ask("handOff", id);
        await sender.ask("disposeAllocator");
        await reader.ask("sweep"); // leaves the regions of tests before
        const opened = await reader.ask("open", ref);
        assert.ok(await reader.ask("isFilled", opened, 2));
        await reader.ask("dispose", opened);
        assert.deepEqual([isNamed(ref), openRegions(reader.pid)], [false, 0]);
      });

      it(`is the sender's memory again when nobody opened it in time, by ${backend}`, async () => {
        await using sender = await startSender(backend);
        const [one, other] = [await sender.ask("allocate", "uint8", [64]), await sender.ask("allocate", "uint8", [64])];
        const inTime = await sender.ask("handOff", one.id), late = await sender.ask("handOff", other.id, 0);
        await sender.ask("sweep");
        assert.equal((await sender.ask("metrics")).tensors, 1);
        await assert.rejects(reader.ask("open", late), STALE);
        await reader.ask("dispose", await reader.ask("open", inTime));
        assert.equal((await sender.ask("metrics")).tensors, 0);
      });
    }

    it("is gone with the sender that is no more when nobody opened it in time", async () => {
      const sender = await startSender("named"), { id } = await sender.ask("allocate", "uint8", [1000]);
      const ref = await sender.ask("handOff", id, 0);
      await sender.exit();
      await reader.ask("sweep");
      assert.ok(!isNamed(ref));
      await assert.rejects(reader.ask("open", ref), STALE);
    });
  });
}
