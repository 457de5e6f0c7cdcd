// Loads models by registries, with a cache of its own, and says what they are: see ../sharing_test.ts.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { answer } from "../../../bench/support/child.ts";
import { configure, type InferenceSession, ModelRegistry, models, type SessionOptions } from "../../../mod.ts";
import { until } from "../fixtures.ts";

let cache: string;
const registries = { models, own: new ModelRegistry() }, held: InferenceSession[] = [];

const inCache = (name: string): number => {
  const folder = path.join(cache, "weights", name);
  return existsSync(folder) ? readdirSync(folder).length : 0;
};

/** A Worker that was asked to load a model; resolves when it says something that is wanted. */
async function worker(file: string, options: SessionOptions, wanted: (told: Record<string, unknown>) => boolean) {
  const worker = new Worker(new URL("./sharing_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
  worker.onmessage = ({ data }) => {
    if (data.phase === "up") worker.postMessage([file, options]);
    if (wanted(data)) resolve(data);
  };
  return { worker, told: await promise };
}

await answer({
  configure: (cacheDir: string) => configure({ cacheDir: cache = cacheDir }),
  inCache,
  /** Loads a model, and keeps it. */
  async load(which: keyof typeof registries, file: string, options: SessionOptions = {}) {
    const phases = new Set<string>(), onProgress = ({ phase }: { phase: string }): unknown => phases.add(phase);
    const session = await registries[which].load(file, { ...options, onProgress });
    held.push(session);
    return { sharing: session.sharing, memory: session.memory, id: session.id, phases: [...phases] };
  },
  list: (which: keyof typeof registries) => registries[which].list(),
  async clear() {
    held.splice(0).forEach((session) => session[Symbol.dispose]());
    await Promise.all(Object.values(registries).map((registry) => registry.clear()));
  },
  /** What a Worker is told of a model that this thread may have. */
  async elsewhere(file: string, options: SessionOptions) {
    const { worker: it, told } = await worker(file, options, ({ id }) => id !== undefined);
    it.terminate();
    return told;
  },
  /** Two wait for a copy that is being made, and give up one after the other. */
  async giveUp(file: string, options: SessionOptions) {
    const stops = [new AbortController(), new AbortController()], packing = Promise.withResolvers<void>();
    const onProgress = ({ phase }: { phase: string }): void => phase === "pack" ? packing.resolve() : undefined;
    const loads = stops.map(({ signal }) => models.load(file, { ...options, signal, onProgress }));
    const ends = Promise.allSettled(loads);
    await packing.promise;
    stops[0]!.abort();
    await loads[0]!.catch(() => {});
    const workAfterOne = inCache("work");
    stops[1]!.abort();
    await until("all is over", () => inCache("work") === 0 && models.list().length === 0);
    return { ends: (await ends).map(({ status }) => status), workAfterOne, entries: inCache("entries") };
  },
  /** Terminates a Worker in a phase of making a copy, and makes it here. */
  async terminate(file: string, options: SessionOptions, wanted: string, waits: boolean) {
    const { worker: it } = await worker(file, options, ({ phase }) => phase === wanted);
    const waiting = waits ? models.load(file, options) : undefined;
    it.terminate();
    const session = await (waiting ?? registries.own.load(file, options));
    held.push(session);
    return { mode: session.sharing.mode, reason: session.sharing.reason, work: inCache("work") };
  },
});
