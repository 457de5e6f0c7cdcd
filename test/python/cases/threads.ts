import assert from "node:assert/strict";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { type Python, PythonError } from "../../../src/python/mod.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { collectUntil } from "../../support/gc.ts";
import type { Cases } from "./mod.ts";
import { told } from "./numpy.ts";

/** How long memory goes back and forth under load: 15 s in CI with each NumPy, 10 minutes by `soak:python:long`. */
export const SOAK_MS: number = Number(process.env.COLOAD_TEST_SOAK_SECONDS ?? 1) * 1000;

const THREADS_OF_PYTHON = 3;
/** Threads of Python's that use what they find in a queue, keep a part of it for a while, and drop it. */
const DROPPERS = `
import collections, queue, random, threading, numpy as np
work, wrong = queue.Queue(64), []
def drop():
    kept = collections.deque(maxlen=8)
    while True:
        item = work.get()
        if item is None:
            return
        array, wanted = item
        if not (array == wanted).all():
            wrong.append((array, wanted))
        kept.append(array[random.randrange(len(array)):])
        del item, array
threads = [threading.Thread(target=drop, daemon=True) for _ in range(${THREADS_OF_PYTHON})]
for thread in threads:
    thread.start()
`;

async function soak(python: Python): Promise<void> {
  python.exec(DROPPERS);
  using allocator = new SharedMemoryAllocator(), put = python.eval("lambda array, wanted: work.put((array, wanted))");
  using make = python.eval("lambda n: np.full(n, n % 251, dtype='u1')");
  const end = Date.now() + SOAK_MS;
  for (let round = 1; Date.now() < end; round++) {
    const length = 1 + (round * 7919) % 50_000, value = round % 251;
    const tensor = round % 2
      ? allocator.tensor("uint8", [length])
      : Tensor.zeros("uint8", [length], { storage: "native" });
    tensor.data.fill(value);
    {
      using array = python.toNumPy(tensor);
      put.call([array, value])[Symbol.dispose](); // waits while the queue is full: Python's threads then go on
    }
    if (round % 3) tensor[Symbol.dispose](); // or the collector finds it
    using made = make.call([length]), taken = python.fromPython(made).as("uint8");
    assert.equal(taken.data[length - 1], length % 251);
    if (round % 200 === 0) await collectUntil(() => true);
    if (round % 20 === 0) await setImmediate();
  }
  python.exec("for thread in threads: work.put(None)\nfor thread in threads: thread.join()");
  assert.deepEqual(told(python, "wrong"), []);
  python.exec("del drop, threads, work");
}

/** What Python does beside TypeScript. */
export const THREADS: Cases = {
  async "run leaves the loop free, and resolves with the last value"(python) {
    python.exec("import threading; started, go = threading.Event(), threading.Event()");
    const running = python.run("started.set()\nassert go.wait(30)\nanswer = 6\nanswer * 7");
    while (!told(python, "started.is_set()")) await setImmediate();
    python.exec("go.set()"); // which this thread could not say if it waited
    using value = await running;
    assert.equal(value.toJS(), 42);
    using none = await python.run("answer = None");
    assert.equal(none.toJS(), null);
  },

  async "runs are on threads of their own, and wait for each other where Python lets them"(python) {
    python.exec("import threading; both = threading.Barrier(3)");
    const runs = [1, 2, 3].map((i) => python.run(`both.wait(30); ${i}`));
    const values = await Promise.all(runs);
    assert.deepEqual(values.map((value) => value.toJS()), [1, 2, 3]);
    for (const value of values) value[Symbol.dispose]();
  },

  async "what is raised on a thread rejects, also sys.exit"(python) {
    const error = await python.run("def f():\n  raise KeyError('x')\n\nf()").catch((error: unknown) => error);
    assert.ok(error instanceof PythonError);
    assert.deepEqual([error.type, error.message], ["KeyError", "Cannot run Python: KeyError: 'x'"]);
    assert.match(error.traceback, /line 4, in <module>\n +f\(\)\n(.|\n)*line 2, in f\n/);
    const exits = await python.run("import sys; sys.exit(1)").catch((error: unknown) => error);
    assert.equal((exits as PythonError).type, "SystemExit");
    await assert.rejects(python.run("x ="), (error: PythonError) => error.type === "SyntaxError");
  },

  "Python's threads go on while TypeScript does something else"(python) {
    python.exec(`
import threading
count, stop = 0, False
def work():
    global count
    while not stop: count += 1
thread = threading.Thread(target=work, daemon=True); thread.start()`);
    let moved = false;
    for (let round = 0; round < 100 && !moved; round++) {
      const before = told(python, "count") as number, end = performance.now() + 5;
      while (performance.now() < end);
      moved = (told(python, "count") as number) > before;
    }
    python.exec("stop = True; thread.join()");
    assert.ok(moved);
  },

  "a thread of Python's drops what this one waits for it to drop"(python) {
    const tensor = Tensor.zeros("float32", [1000], { storage: "native" });
    {
      using array = python.toNumPy(tensor), keep = python.eval("lambda array: globals().update(kept=[array])");
      keep.call([array])[Symbol.dispose]();
    }
    python.exec(
      "import threading; thread = threading.Thread(target=lambda: kept.clear()); thread.start(); thread.join()",
    );
    tensor[Symbol.dispose]();
  },

  "memory goes back and forth under load, dropped on any thread": soak,
};
