// Creates sessions with a cache of its own, and says what they are: see ../sharing_test.ts.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { answer } from "../../../bench/support/child.ts";
import { configure, InferenceSession, type SessionOptions } from "../../../mod.ts";
import { liveHandles } from "../../../src/handle.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { WIDTH } from "./sharing_models.ts";

let cache: string;

/** What one session was, and how it came to be. */
export interface Told {
  readonly sharing: InferenceSession["sharing"];
  readonly memory: InferenceSession["memory"];
  readonly phases: readonly string[];
  readonly values: unknown;
  /** The sum of what comes out for ones. */
  readonly sum: number;
}

const feeds = (session: InferenceSession): Record<string, Tensor> =>
  Object.fromEntries(session.inputs.map(({ name, dtype, shape }) => {
    const sizes = shape.map((size) => typeof size === "number" ? size : 1), count = sizes.reduce((a, b) => a * b, 1);
    return [
      name,
      dtype === "int64" ? Tensor.zeros("int64", sizes) : Tensor.from(new Float32Array(count).fill(1), sizes),
    ];
  }));

async function tell(session: InferenceSession, phases: Set<string>): Promise<Told> {
  const { sharing, memory, inputs, outputs, metadata: { version, custom, ...rest } } = session;
  const metadata = { ...rest, version: `${version}`, custom: Object.entries(custom).sort() }; // in no order
  const results = await session.run(feeds(session));
  const y = Object.values(results)[0] as Tensor<"float32">;
  return {
    sharing,
    memory,
    phases: [...phases],
    values: { inputs, outputs, metadata },
    sum: y.data.reduce((a, b) => a + b, 0),
  };
}

async function create(model: string | Uint8Array, options: SessionOptions = {}): Promise<Told> {
  const phases = new Set<string>(), onProgress = ({ phase }: { phase: string }): unknown => phases.add(phase);
  await using session = await InferenceSession.create(model, { ...options, onProgress });
  return await tell(session, phases);
}

/** Waits until nothing is done any more. */
async function quiet(): Promise<void> {
  while (Object.keys(liveHandles()).length > 0) await delay(5);
}

await answer({
  configure: (cacheDir: string) => configure({ cacheDir: cache = cacheDir }),
  cached: () => existsSync(cache) && readdirSync(path.join(cache, "weights", "entries")).length,
  create,
  enter: (directory: string) => process.chdir(directory),
  /** Has the bytes overwritten while the session is made. */
  bytes(file: string, kind: "array" | "buffer", options: SessionOptions): Promise<Told> {
    const read = readFileSync(file), bytes = kind === "buffer" ? read : Uint8Array.from(read);
    const made = create(bytes, options);
    bytes.fill(0);
    return made;
  },
  /** Aborts when a phase is reached; says with what it rejected after how many ms, and what is left when all is over. */
  async abort(model: string, options: SessionOptions, wanted: string): Promise<unknown> {
    const stop = new AbortController(), reason = new Error(`enough of ${wanted}`);
    let at = Infinity;
    const onProgress = ({ phase }: { phase: string }): void => {
      if (phase !== wanted || stop.signal.aborted) return;
      at = performance.now();
      stop.abort(reason);
    };
    const end = await InferenceSession.create(model, { ...options, signal: stop.signal, onProgress }).catch((e) => e);
    const ms = performance.now() - at;
    await quiet();
    const [work, entries] = ["work", "entries"].map((name) => path.join(cache, "weights", name));
    return {
      rejected: end === reason,
      ms,
      work: existsSync(work!) ? readdirSync(work!) : [],
      entries: existsSync(entries!) ? readdirSync(entries!).length : 0,
    };
  },
  /** One session that makes its copy, and one more that is aborted while it waits for that. */
  async abortWaiting(model: string, options: SessionOptions): Promise<unknown> {
    const stop = new AbortController(), reason = new Error("enough"), making = Promise.withResolvers<void>();
    const begun = ({ phase }: { phase: string }): void => phase === "reference" ? making.resolve() : undefined;
    const waits = ({ phase }: { phase: string }): void => phase === "wait" ? stop.abort(reason) : undefined;
    const first = InferenceSession.create(model, { ...options, onProgress: begun });
    await making.promise;
    const second = await InferenceSession.create(model, { ...options, signal: stop.signal, onProgress: waits })
      .catch((e) => e);
    await using made = await first;
    return { second: second === reason, first: made.sharing.mode };
  },
  together: (model: string, options: SessionOptions, count: number): Promise<Told[]> =>
    Promise.all(Array.from({ length: count }, () => create(model, options))),
  /** The longest time in ms that the event loop did nothing else while a session was made. */
  async gap(model: string, options: SessionOptions): Promise<number> {
    let last = performance.now(), longest = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    await delay(20);
    const session = await InferenceSession.create(model, options);
    await delay(20);
    clearInterval(timer);
    if (session.sharing.mode === "off") throw new Error(session.sharing.reason);
    await session[Symbol.asyncDispose]();
    return longest;
  },
  /** The activations that a session holds after a run, and once it has been idle. */
  async idle(model: string, options: SessionOptions): Promise<number[]> {
    await using session = await InferenceSession.create(model, options);
    for (const rows of [512, 1024, 2048]) await session.run({ x: Tensor.zeros("float32", [rows, WIDTH]) });
    const before = session.memory.arena;
    await delay(2500);
    return [before, session.memory.arena];
  },
});
