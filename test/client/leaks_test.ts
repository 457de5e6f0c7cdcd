import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { add, slow } from "../support/models.ts";
import { RegionNames } from "../support/region_names.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const CYCLES = 30, MOST_TIMES = 3, COME_LATER = 4, FOREVER = 10_000_000;

/** Descriptors but for files: a runtime opens those of its caches when it likes. */
function descriptors(pid: number | "self"): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return /^(socket:|pipe:|anon_inode:|\/memfd:|\/dev\/shm\/)/.test(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

/** Mappings of memory that processes share by a descriptor. */
function mappings(pid: number | "self"): number {
  return readFileSync(`/proc/${pid}/maps`, "utf8").split("\n").filter((line) => /coload|\/dev\/shm/.test(line)).length;
}

/**
 * Does something until there are as few as before it; the other end may be slower. What leaks grows each time, and what a
 * runtime opens when it needs another thread does not.
 */
async function leavesNoMore(count: () => readonly number[], work: () => Promise<void>): Promise<void> {
  const first = count(),
    isWithin = (most: readonly number[], more: number): boolean =>
      count().every((found, i) => found <= most[i]! + more);
  for (let time = 1, isOver = false; !isOver; time++) {
    const before = count();
    await work();
    const ended = until(() => isWithin(before, 0), "the end of descriptors and mappings");
    isOver = await ended.then(() => true, () => false);
    if (!isOver && time >= MOST_TIMES) assert.deepEqual(count(), before);
  }
  assert.ok(isWithin(first, COME_LATER), `${count()}, ${first} before`);
}

for (const sharedMemory of [true, false]) {
  describe(`clients that come and go${sharedMemory ? "" : ", as bytes"}`, () => {
    it("leave nothing behind, here or in the worker", async () => {
      await using worker = await WorkerProcess.start({ add: add() });
      await using observer = await worker.connect();
      const shm = new RegionNames();
      const cycle = async (i: number): Promise<void> => {
        await using client = await worker.connect({ sharedMemory });
        await using model = await client.model("add");
        using allocator = new SharedMemoryAllocator({ backend: i % 2 ? "memfd" : "named" });
        const feeds = { a: allocator.share(floats([i, 1])), b: floats([1, 1]) };
        assert.deepEqual([...(await model.run(feeds)).c!.data], [i + 1, 2]);
        model.runSync(feeds);
        if (i % 5 === 0) await assert.rejects(model.run({ a: feeds.a }), failure("TypeError", "MISSING_FEED"));
      };
      const alone = (): Promise<void> =>
        until(async () => (await observer.status()).clients.length === 1, "the last client's end");
      for (let i = 0; i < 20; i++) await cycle(i); // what is made once is there
      await soon(alone());
      const count = () => [descriptors("self"), mappings("self"), descriptors(worker.pid), mappings(worker.pid)];
      const handles = liveHandles();
      await leavesNoMore(count, async () => {
        for (let i = 0; i < CYCLES; i++) await cycle(i);
        await soon(alone());
      });
      assert.deepEqual(liveHandles(), handles);
      await shm.gone();
    });

    it("leave nothing behind when the worker dies under them", async () => {
      await using worker = await WorkerProcess.start({ add: add(), slow: slow() });
      const shm = new RegionNames(), handles = liveHandles();
      const cycle = async (): Promise<void> => {
        await using client = await worker.connect({ sharedMemory });
        using allocator = new SharedMemoryAllocator();
        const { x, iterations } = slowFeeds(FOREVER);
        const running = client.infer("slow", { x: allocator.share(x), iterations }, { outputStorage: "shared" });
        running.catch(() => {});
        await using observer = await worker.connect();
        await until(async () => (await observer.status()).state === "busy", "the run");
        await worker.kill();
        await assert.rejects(soon(running), failure("WorkerError", "WORKER_DIED"));
        SharedMemoryAllocator.default[Symbol.dispose]();
      };
      await cycle();
      const count = () => [descriptors("self"), mappings("self")];
      await leavesNoMore(count, async () => {
        for (let i = 0; i < 5; i++) {
          await worker.start();
          await cycle();
        }
      });
      assert.deepEqual(liveHandles(), handles);
      await shm.gone();
    });
  });
}
