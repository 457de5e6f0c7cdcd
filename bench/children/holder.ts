// Holds a model in the way it is asked to, and says what that takes: see ../sharing.ts.
import { InferenceSession, models } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { type Memory, settledMemory } from "../support/memory.ts";

/** What a process holds, and how often a model was loaded for it. */
export interface Held {
  readonly memory: Memory;
  readonly loads: number;
}

const held: unknown[] = [];

function message(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
}

const ways = {
  async separate(path: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) held.push(await InferenceSession.create(path));
  },
  async shared(path: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) held.push(await models.load(path));
  },
  async atOnce(path: string, count: number): Promise<void> {
    held.push(...await Promise.all(Array.from({ length: count }, () => models.load(path))));
  },
  async workers(path: string, count: number): Promise<void> {
    const script = new URL("./holder_worker.ts", import.meta.url);
    const workers = Array.from({ length: count }, () => new Worker(script, { type: "module" }));
    await Promise.all(workers.map(message));
    const loaded = workers.map(message);
    for (const worker of workers) worker.postMessage(path);
    held.push(...workers, await Promise.all(loaded));
  },
};

await answer({
  /** What onnxruntime itself needs, with one small model. */
  async start(small: string): Promise<Held> {
    held.push(await models.load(small));
    return { memory: await settledMemory(), loads: models.metrics().loads };
  },
  async hold(way: keyof typeof ways, path: string, count: number): Promise<Held> {
    await ways[way](path, count);
    return { memory: await settledMemory(), loads: models.metrics().loads };
  },
});
