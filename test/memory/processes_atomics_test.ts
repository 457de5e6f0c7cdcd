import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { COUNTED, WORDS } from "./peers/atomics.ts";
import { missing, PAIRINGS, Peer } from "./peers/peer.ts";

/** How often each of the two processes does each thing. */
const COUNT = Number(process.env.COLOAD_ATOMICS ?? 200_000);
const STEP = 2 ** 32 + 1;

for (const [one, other] of PAIRINGS) {
  describe(`atomics on one tensor, ${COUNT} times by a ${one} and a ${other} process`, {
    skip: missing(one, other),
  }, () => {
    let peers: readonly [Peer, Peer];

    before(async () => {
      const watchdogMs = 60_000 + COUNT / 5;
      peers = await Promise.all([Peer.start(one, { watchdogMs }), Peer.start(other, { watchdogMs })]);
    });

    after(async () => {
      await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
    });

    /** Both run a loop on a new tensor. Returns what they counted in it, and what each returned. */
    async function race(loop: "add" | "compareExchange" | "bits" | "add64" | "send", dtype: "int32" | "int64") {
      const { id, word } = await peers[0].ask("allocate", dtype, [WORDS]);
      await peers[0].ask("fill", id, 0);
      const opened = await peers[1].ask("open", word);
      const returned = await Promise.all([
        peers[0].ask("loop", loop, id, 0, COUNT),
        peers[1].ask("loop", loop, opened, 1, COUNT),
      ]);
      const counted = await peers[0].ask("read", id, COUNTED);
      await Promise.all([peers[0].ask("dispose", id), peers[1].ask("dispose", opened)]);
      return { counted, returned };
    }

    it("lose no addition", async () => {
      assert.equal((await race("add", "int32")).counted, 2 * COUNT);
    });

    it("lose no compare and exchange", async () => {
      assert.equal((await race("compareExchange", "int32")).counted, 2 * COUNT);
    });

    it("lose no compare and exchange of 64 bits", async () => {
      assert.equal((await race("add64", "int64")).counted, 2 * COUNT * STEP);
    });

    it("leave each its own bits of 64", async () => {
      assert.deepEqual(await race("bits", "int64"), { counted: 0, returned: [0, 0] });
    });

    it("show the data that was written before the flag", async () => {
      assert.deepEqual(await race("send", "int32"), { counted: COUNT, returned: [0, 0] });
    });
  });
}
