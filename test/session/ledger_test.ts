import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { LEDGER } from "../../ffi/process/ledger.ts";
import { LEDGER_ENTRY, owner, U32, WORD } from "../../ffi/process/owner.ts";
import { offset } from "../../ffi/native_memory.ts";
import { ffi } from "../../ffi/mod.ts";
import { InferenceSession, ModelRegistry } from "../../mod.ts";
import { ort, startOrt } from "../../src/ort/environment.ts";
import { NativeLoad } from "../../src/ort/native_load.ts";
import { releaseSession, trimMemory } from "../../src/ort/release_session.ts";
import { nothingLeft } from "../support/left.ts";
import { add } from "../support/models.ts";

/** The sessions that would be released if this thread ended now. */
function sessionsInLedger(): bigint[] {
  const { u32, words } = owner(), release = ort().address("ReleaseSession"), sessions: bigint[] = [];
  const ledger = new BigUint64Array(
    ffi.view(offset({ address: words[WORD.ledger]! }, 0), u32[U32.ledgerUsed]! * LEDGER_ENTRY),
  );
  for (let at = 0; at < ledger.length; at += LEDGER_ENTRY / 8) {
    const [fn, a0, , how] = ledger.subarray(at, at + 4);
    if (fn !== release) continue;
    sessions.push(how === LEDGER.callEach ? new BigUint64Array(ffi.view(offset({ address: a0! }, 0), 8))[0]! : a0!);
  }
  return sessions;
}

afterEach(nothingLeft);

describe("a session", () => {
  it("stays in its load's ledger until somebody else owns it", async () => {
    await startOrt();
    const load = NativeLoad.prepare({ bytes: add() }, {});
    load.noteInLedger();
    const pointer = await load.run();
    await trimMemory(); // which takes a while
    assert.deepEqual(sessionsInLedger(), [ffi.address(pointer)]);
    load.disown();
    load.disown();
    assert.deepEqual(sessionsInLedger(), []);
    load.release();
    await releaseSession(pointer);
  });

  it("is in the ledger once from when it is created until it is disposed", async () => {
    const session = await InferenceSession.create(add());
    assert.equal(sessionsInLedger().length, 1);
    await session[Symbol.asyncDispose]();
    assert.deepEqual(sessionsInLedger(), []);
  });

  it("of a registry of the thread's own is in it once until it is evicted", async () => {
    await using registry = new ModelRegistry({ ttlMs: 0 });
    const session = await registry.load(add());
    assert.equal(sessionsInLedger().length, 1);
    await session[Symbol.asyncDispose]();
    assert.deepEqual(sessionsInLedger(), []);
  });
});
