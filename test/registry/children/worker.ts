// A Worker that does what it is told with the process's registry: see ../registry_worker.ts.
import process from "node:process";
import { type InferenceSession, ModelRegistry, models, type RegistryOptions } from "../../../mod.ts";
import { slowFeeds } from "../../support/sessions.ts";
import { increment, record } from "../fixtures.ts";

interface Scope {
  onmessage: (event: { readonly data: [number, keyof typeof actions, ...never[]] }) => void;
  postMessage(message: unknown): void;
  close?(): void;
}

const scope = globalThis as unknown as Scope, held: InferenceSession[] = [], kept: unknown[] = [];
const events = record(models, "load", "hit", "evict", "fail"), stop = new AbortController();

async function load(path: string, options: object = {}): Promise<string> {
  const session = await models.load(path, { ...options, signal: stop.signal });
  held.push(session);
  return session.id;
}

const actions = {
  load,
  /** Begins to load and answers at once; tells of the phases later. */
  begin(path: string): void {
    const tell = (phase: string): void => scope.postMessage(["phase", phase]);
    models.load(path, { signal: stop.signal, onProgress: ({ phase }) => tell(phase) }).then(
      () => tell("done"),
      () => {},
    );
  },
  abort: () => stop.abort(),
  get(path: string): string | undefined {
    const session = models.get(path);
    if (session) held.push(session);
    return session?.id;
  },
  increment: () => increment(held[0]!),
  /** Runs for a second or so, and answers at once. */
  run: () => void held[0]!.run(slowFeeds(1000)).catch(() => {}),
  release: () => held.splice(0).forEach((session) => session[Symbol.dispose]()),
  list: () => models.list(),
  unload: (key: string) => models.unload(key),
  evictExpired: () => models.evictExpired(),
  configure: (options: RegistryOptions) => models.configure(options),
  events: () => events.splice(0),
  async object(key: string, memoryBytes: number): Promise<number> {
    const handle = await models.getOrLoad(key, () => ({ model: Math.random(), memoryBytes }));
    kept.push(handle);
    return handle.model;
  },
  async own(path: string, count: number): Promise<void> {
    const registry = new ModelRegistry();
    kept.push(registry);
    for (let i = 0; i < count; i++) kept.push(await registry.load(path, { key: `${i}` }));
  },
  /** Ends itself; Bun has no `close`. */
  close: () => scope.close ? scope.close() : process.exit(),
  throw(): void {
    setTimeout(() => {
      throw new Error("thrown on purpose");
    });
  },
};

scope.onmessage = async ({ data: [id, action, ...args] }) => {
  try {
    scope.postMessage([id, await (actions[action] as (...args: unknown[]) => unknown)(...args)]);
  } catch (error) {
    const { name, code, message } = error as Error & { code?: string };
    scope.postMessage([id, undefined, { name, code, message }]);
  }
};
scope.postMessage(["phase", "up"]);
