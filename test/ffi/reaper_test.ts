import assert from "node:assert/strict";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { libc } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { owner, ownerEntry, SLAB_BYTE_LENGTH, STATE, U32, WORD } from "../../ffi/process/owner.ts";
import { ensureThreads } from "../../ffi/process/pool.ts";
import { isAlive, reap } from "../../ffi/process/reaper.ts";
import { processBlock } from "../../ffi/process/shared.ts";
import { runChild } from "../support/child.ts";

interface Left {
  readonly block: string;
  readonly calls: number;
  readonly notes: number;
}

/** A Worker with something to release, and the index of its entry among the owners. */
async function start(left: Left): Promise<{ worker: Worker; index: number; fd: number }> {
  const worker = new Worker(new URL("./workers/owner.ts", import.meta.url), { workerData: left });
  const [[index, fd]] = await once(worker, "message") as [[number, number]];
  return { worker, index, fd };
}

const isFree = (index: number): boolean => Atomics.load(ownerEntry(index).u32, U32.state) === STATE.free;
const released = (block: string): string => ffi.string(processBlock(block, 4096).pointer);

async function endAndBury(left: Left): Promise<number> {
  const { worker, index, fd } = await start(left);
  await reap();
  assert.ok(isAlive(ownerEntry(index)) && !isFree(index));
  assert.equal(readlinkSync(`/proc/self/fd/${fd}`), "/dev/null");
  await worker.terminate();
  for (; !isFree(index); await setImmediate()) await reap();
  assert.throws(() => assert.equal(readlinkSync(`/proc/self/fd/${fd}`), "/dev/null"));
  return index;
}

describe("reap", () => {
  before(async () => {
    ensureThreads("run", 2);
    ensureThreads("release", 1);
    while (await reap() > 0); // what other tests of this process left
  });

  it("calls what a thread that ended has noted, what others depend on last, and nothing that was struck", async () => {
    await endAndBury({ block: "reaper order", calls: 0, notes: 0 });
    assert.equal(released("reaper order"), "first last ");
  });

  it("waits for calls in flight", async () => {
    await endAndBury({ block: "reaper calls", calls: 5, notes: 0 });
    assert.equal(released("reaper calls"), "first last ");
  });

  it("knows ledgers that have grown", async () => {
    await endAndBury({ block: "reaper grown", calls: 1, notes: 3000 });
    assert.equal(released("reaper grown"), "first last ");
  });

  it("frees the entry for another thread", async () => {
    const left = { block: "reaper entries", calls: 0, notes: 0 }, first = await endAndBury(left);
    assert.equal(await endAndBury(left), first);
  });

  it("leaves this thread alone", async () => {
    await reap();
    assert.ok(isAlive(owner()) && !isFree(owner().index));
  });

  it("twice at once buries each thread once", async () => {
    const left = { block: "reaper twice", calls: 0, notes: 100 };
    const started = await Promise.all([1, 2, 3].map(() => start(left)));
    await Promise.all(started.map(({ worker }) => worker.terminate()));
    for (; !started.every(({ index }) => isFree(index)); await setImmediate()) await Promise.all([reap(), reap()]);
    assert.equal(released("reaper twice").match(/first /g)!.length, 3);
    assert.equal(released("reaper twice").match(/last /g)!.length, 3);
  });

  it("buries in a process that has started no thread of the pool, and lets it end", async () => {
    const { code, stdout, stderr } = await runChild(new URL("./children/burying.ts", import.meta.url));
    assert.deepEqual([code, stdout], [0, "END\n"], stderr);
  });

  it("goes on with a burial that another reaper was ended in the middle of", async () => {
    const { worker, index } = await start({ block: "reaper half done", calls: 0, notes: 0 }), entry = ownerEntry(index);
    const slab = entry.words[WORD.slab]!;
    await worker.terminate();
    entry.words[WORD.ledger] = entry.words[WORD.slab] = 0n; // given up already, as are its descriptors
    libc().close(entry.u32[U32.writeFd]!);
    entry.u32[U32.writeFd] = entry.u32[U32.readFd] = 0xffffffff;
    for (; !isFree(index); await setImmediate()) await reap();
    assert.equal(libc().munmap(ffi.pointer(slab)!, BigInt(SLAB_BYTE_LENGTH)), 0);
  });
});
