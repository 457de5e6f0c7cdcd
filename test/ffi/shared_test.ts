import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { ffi } from "../../ffi/mod.ts";
import { exclusively, processBlock, recoveries } from "../../ffi/process/shared.ts";

const worker = (name: string, workerData?: unknown): Worker =>
  new Worker(new URL(`./workers/${name}.ts`, import.meta.url), { workerData });
let names = 0;
const fresh = (): string => `test ${names++} ${performance.timeOrigin % 1e6 | 0}`.slice(0, 16);

describe("processBlock", () => {
  it("is the same memory each time, zeroed and filled by the first", () => {
    const name = fresh();
    const first = processBlock(name, 64, ({ pointer }) => new Uint8Array(ffi.view(pointer, 64))[3] = 7);
    const second = processBlock(name, 64, () => assert.fail("was made already"));
    assert.equal(first.address, second.address);
    assert.deepEqual([...new Uint8Array(ffi.view(second.pointer, 5))], [0, 0, 0, 7, 0]);
    assert.notEqual(processBlock(fresh(), 64).address, first.address);
  });

  it("is one for eight Workers that race for it, and loses no update", async () => {
    const name = fresh(), rounds = 2000;
    const workers = Array.from({ length: 8 }, () => worker("racer", { name, rounds }));
    const addresses = (await Promise.all(workers.map((one) => once(one, "message")))).flat();
    const { pointer, address } = processBlock(name, 64);
    assert.deepEqual(addresses, new Array(8).fill(address));
    assert.deepEqual([...new Uint32Array(ffi.view(pointer, 8))], [8 * rounds, 1]);
    await Promise.all(workers.map((one) => one.terminate()));
  });
});

describe("exclusively", () => {
  it("returns what its work does, nests, and lets go when it throws", () => {
    assert.equal(exclusively(() => exclusively(() => 3)), 3);
    const error = new Error("on purpose");
    assert.throws(() =>
      exclusively(() => {
        throw error;
      }), error);
    assert.equal(exclusively(() => 4), 4);
  });

  it("goes on after a Worker died in it", async () => {
    const before = recoveries(), holder = worker("holder");
    await once(holder, "message");
    holder.postMessage("die");
    await once(holder, "exit");
    assert.equal(exclusively(() => 5), 5);
    assert.equal(recoveries(), before + 1);
  });
});
