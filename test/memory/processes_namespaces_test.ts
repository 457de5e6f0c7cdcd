import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { failure } from "../support/sessions.ts";
import { isNamed, missing, PAIRINGS, Peer, refused } from "./peers/peer.ts";

/** A container that shares /dev/shm, and has processes and a user of its own. */
const CONTAINER = ["unshare", "-Urpf", "--mount-proc", "--kill-child"];
const UNREACHABLE = failure("NativeError", "REGION_UNREACHABLE", /pass its descriptor, or use the backend "named"/);

for (const [inside, outside] of PAIRINGS) {
  const skip = missing(inside, outside) || refused(CONTAINER);

  describe(`a ${inside} process of another pid namespace, and a ${outside} process of this one`, { skip }, () => {
    let contained: Peer, peer: Peer;

    before(async () => {
      [contained, peer] = await Promise.all([Peer.start(inside, { through: CONTAINER }), Peer.start(outside)]);
      assert.notEqual((await contained.ask("hello")).pid, contained.pid);
    });

    after(async () => {
      await Promise.all([contained[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
    });

    it("share named tensors, both ways", async () => {
      for (const [one, other] of [[contained, peer], [peer, contained]] as const) {
        const { id, ref } = await one.ask("allocate", "int32", [100]), opened = await other.ask("open", ref);
        await other.ask("write", opened, 50, -7);
        assert.equal(await one.ask("read", id, 50), -7);
        await Promise.all([one.ask("dispose", id), other.ask("dispose", opened)]);
        assert.equal((await one.ask("metrics")).bytesInUse, 0);
      }
    });

    it("do not sweep what the other holds", async () => {
      for (const [one, other] of [[contained, peer], [peer, contained]] as const) {
        const { id, ref } = await one.ask("allocate", "uint8", [10_000]), region = await one.ask("makeRegion", "named");
        await one.ask("fill", id, 3);
        await other.ask("sweep");
        assert.deepEqual([isNamed(ref), isNamed({ region })], [true, true]);
        assert.ok(await one.ask("isFilled", id, 3));
      }
    });

    it("sweep what the other left when it was killed", async () => {
      const doomed = await Peer.start(inside, { through: CONTAINER });
      const { id, ref } = await peer.ask("allocate", "int32", [100]), region = await doomed.ask("makeRegion", "named");
      await doomed.ask("open", ref);
      const { bytesInUse } = await peer.ask("metrics");
      await peer.ask("dispose", id);
      assert.equal((await peer.ask("metrics")).bytesInUse, bytesInUse);
      await doomed.kill();
      await peer.ask("sweep");
      assert.ok(!isNamed({ region }));
      assert.ok((await peer.ask("metrics")).bytesInUse < bytesInUse);
    });

    it("cannot reach each other's memfd tensors, and say so", async () => {
      for (const [one, other] of [[contained, peer], [peer, contained]] as const) {
        await one.ask("allocateBy", { backend: "memfd" });
        const { ref } = await one.ask("allocate", "int32", [100]);
        await assert.rejects(other.ask("open", ref), UNREACHABLE);
        await assert.rejects(other.ask("openRegion", ref.region), UNREACHABLE);
      }
    });
  });
}
