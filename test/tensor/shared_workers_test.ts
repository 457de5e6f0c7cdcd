import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ensureThreads } from "../../ffi/process/pool.ts";
import { reap } from "../../ffi/process/reaper.ts";
import { liveHandles } from "../../src/handle.ts";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

/** A Worker that does one thing after the other: see workers/shared_worker.ts. */
class SharedWorker implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./workers/shared_worker.ts", import.meta.url));
  #up: Promise<unknown> | undefined = once(this.#worker, "message");

  async ask<T>(action: string, ...args: unknown[]): Promise<T> {
    await this.#up;
    const answer = once(this.#worker, "message");
    this.#worker.postMessage([action, ...args], args.filter((arg) => arg instanceof ArrayBuffer));
    return (await answer)[0];
  }

  /** Ends it in the middle of whatever it holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Cleans up after Workers that ended, which their threads may take a moment to do, until something is so. */
async function cleanUpUntil(condition: () => boolean): Promise<void> {
  ensureThreads("release", 1);
  for (let turn = 0; !condition() && turn < 100_000; turn++) {
    await setImmediate();
    await reap();
    sweepSharedMemory();
  }
  assert.ok(condition());
}

const isNamed = (region: string): boolean => existsSync(`/dev/shm/${region}`);

/** A tensor of one byte throughout. */
function bytes(allocator: SharedMemoryAllocator, byte: number): Tensor<"uint8"> {
  const tensor = allocator.tensor("uint8", [100_000]);
  tensor.data.fill(byte);
  return tensor;
}

afterEach(async () => {
  await cleanUpUntil(() => Object.keys(liveHandles()).length === 0);
  nothingLeft();
});

for (const backend of ["named", "memfd"] as const) {
  describe(`${backend} tensors and Workers`, () => {
    it("travel there by reference, and back", { timeout: 60_000 }, async () => {
      await using worker = new SharedWorker();
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = bytes(allocator, 1);
      for (let i = 2; i < 20; i++) {
        using copy = Tensor.open(await worker.ask<TensorRef>("increment", tensor.ref));
        assert.deepEqual([tensor.data[0], tensor.data[99_999], copy.data[99_999]], [i, i, i]);
        assert.notEqual(copy.ref.region, tensor.ref.region);
      }
    });

    it("are kept by one that holds them, until it is terminated", { timeout: 60_000 }, async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensor = bytes(allocator, 7), { ref } = tensor;
      {
        await using worker = new SharedWorker();
        assert.equal(await worker.ask("hold", ref), 7);
        tensor[Symbol.dispose]();
        sweepSharedMemory();
        assert.equal(allocator.metrics().tensors, 1);
        using same = Tensor.open(ref);
        assert.equal(same.data[0], 7);
      }
      await cleanUpUntil(() => allocator.metrics().tensors === 0);
      assert.throws(() => Tensor.open(ref), failure("ReferenceError", "STALE_REFERENCE"));
    });
  });
}

describe("tensors of a Worker that is terminated", () => {
  for (const order of ["before", "after"]) {
    it(`stay readable, and go when disposed of ${order} it is buried`, { timeout: 60_000 }, async () => {
      await using worker = new SharedWorker();
      const ref = await worker.ask<TensorRef>("make", 5), tensor = Tensor.open(ref), second = Tensor.open(ref);
      await worker[Symbol.asyncDispose]();
      if (order === "after") await cleanUpUntil(() => true);
      assert.ok(tensor.as("uint8").data.every((byte) => byte === 5));
      tensor[Symbol.dispose]();
      assert.deepEqual([second.data[99_999], isNamed(ref.region)], [5, true]);
      second[Symbol.dispose]();
      await cleanUpUntil(() => !isNamed(ref.region));
      assert.throws(() => Tensor.open(ref), failure("ReferenceError", "STALE_REFERENCE"));
    });
  }

  it("go when nobody else holds them", { timeout: 60_000 }, async () => {
    const worker = new SharedWorker(), { region } = await worker.ask<TensorRef>("make", 5);
    assert.ok(isNamed(region));
    await worker[Symbol.asyncDispose]();
    await cleanUpUntil(() => !isNamed(region));
  });

  it("leave buffers readable that were transferred to other threads", { timeout: 60_000 }, async () => {
    const source = new SharedWorker();
    await using other = new SharedWorker();
    const ref = await source.ask<TensorRef>("make", 1);
    const buffer = await source.ask<ArrayBuffer>("give", 5), second = await source.ask<ArrayBuffer>("give", 6);
    const here = new Uint8Array(buffer);
    assert.deepEqual([here[99_999], await other.ask("take", second)], [5, 6]);
    await source[Symbol.asyncDispose]();
    await cleanUpUntil(() => !isNamed(ref.region));
    here.fill(here[0]!);
    assert.ok([0, 5].includes(here[99_999]!));
    assert.ok([0, 6].includes(await other.ask<number>("look")));
  });
});

describe("four Workers that allocate and dispose", () => {
  it("at random keep their contents, and do not grow", { timeout: 60_000 }, async () => {
    const workers = Array.from({ length: 4 }, () => new SharedWorker());
    type Churn = { wrong: number; reserved: number; inUse: number; regions: string[] };
    const ends = await Promise.all(workers.map(async (worker, i) => {
      const first = await worker.ask<Churn>("churn", 1000, i + 1);
      return [first, await worker.ask<Churn>("churn", 1000, i + 1)] as const;
    }));
    for (const worker of workers) await worker[Symbol.asyncDispose]();
    await cleanUpUntil(() => !ends.flatMap(([{ regions }]) => regions).some(isNamed));
    for (const [first, second] of ends) {
      assert.deepEqual([first.wrong, second.wrong, first.inUse], [0, 0, 0]);
      assert.deepEqual(second, first);
    }
  });
});
