// Prepares, loads and runs models as it is asked to, beside others that do: see ./processes_peers.ts.
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { configure, InferenceSession, type Model, ModelRegistry, type SessionOptions, Tensor } from "../../../mod.ts";
import { prepareIn } from "../support.ts";

const sessions: Model[] = [];

/** The SHA-256 of what comes out of a model for an input that is the same each time. */
async function outputOf(session: Model): Promise<string> {
  const width = Number(session.inputs[0]!.shape[1]), x = Float32Array.from({ length: 3 * width }, (_, i) => i % 17 - 8);
  using out = await session.run({ x: Tensor.from(x, [3, width]) });
  return createHash("sha256").update(new Uint8Array(out.y!.as("float32").data.slice().buffer)).digest("hex");
}

/** Loads a model and runs it, and tells how its weights are shared. */
async function load(model: string, options: SessionOptions = {}, from: "alone" | "registry" = "alone") {
  const session =
    await (from === "alone" ? InferenceSession.create(model, options) : new ModelRegistry().load(model, options));
  sessions.push(session);
  const { sharing: { mode, reason }, memory } = session;
  return { mode, reason, memory, output: await outputOf(session) };
}

let preparing: ReturnType<typeof prepared> | undefined;

async function prepared(cacheDir: string, model: string, force: boolean, onPhase: (name: string) => void) {
  const { copy: { key, directory }, made } = await prepareIn(cacheDir, model, "prepacked", { force, onPhase });
  return { key, directory, made };
}

const actions = {
  configure: (cacheDir: string) => configure({ cacheDir }),

  async prepare(cacheDir: string, model: string, force = false) {
    const phases: string[] = [], made = await prepared(cacheDir, model, force, (name) => phases.push(name));
    return { ...made, waited: phases.includes("wait") };
  },

  /** Begins to prepare a model, and answers when a phase of that begins. */
  begin: (cacheDir: string, model: string, phase: string, force = false) =>
    new Promise<void>((resolve) => {
      preparing = prepared(cacheDir, model, force, (name) => name === phase && resolve());
    }),

  /** The same, and does not go on until it is told to by a signal. */
  beginAndStop(cacheDir: string, model: string, phase: string, force = false) {
    let stops = true; // once: a phase is reported again as it goes on
    preparing = prepared(cacheDir, model, force, (name) => {
      if (name !== phase || !stops) return;
      stops = false;
      writeSync(1, "{}\n"); // the answer, for the one below is late
      process.kill(process.pid, "SIGSTOP");
    });
    return preparing;
  },

  finish: () => preparing,

  load,

  /** Loads a model, something of whose copy goes away when a phase of that begins. */
  loadWithout: (model: string, path: string, wanted: string, from: "alone" | "registry") =>
    load(
      model,
      { onProgress: ({ phase }) => phase === wanted && rmSync(path, { recursive: true, force: true }) },
      from,
    ),

  /** Loads a model again and again until a file is there. @returns what came of it, each once */
  async loadUntil(model: string, file: string) {
    const found = new Set<string>();
    for (let last = false; !last;) {
      last = existsSync(file);
      using session = await InferenceSession.create(model);
      found.add(`${session.sharing.mode} ${await outputOf(session)}`);
    }
    return [...found];
  },

  /** Looks whether something is there until a file is. @returns whether it always was */
  watchUntil(path: string, file: string) {
    let always = true;
    while (!existsSync(file)) for (let i = 0; i < 1000; i++) always &&= existsSync(path);
    return always;
  },

  run: () => Promise.all(sessions.map(outputOf)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [action, ...args] = JSON.parse(line);
  // deno-lint-ignore no-explicit-any -- what travels is checked by nobody
  const doing = Promise.try((actions as any)[action], ...args);
  const done = await doing.then((value) => ({ value }), (error) => ({ error: String(error?.stack ?? error) }));
  console.log(JSON.stringify(done));
}
process.exit();
