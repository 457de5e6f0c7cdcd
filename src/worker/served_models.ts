import path from "node:path";
import { clearInterval, setInterval } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileIdentity } from "../../ffi/files.ts";
import { monotonicMs } from "../../ffi/monotonic_clock.ts";
import { NativeError, WorkerError } from "../errors.ts";
import { errorMessage } from "../protocol/remote_error.ts";
import type { ModelDescription } from "../protocol/remote_model.ts";
import { models as registry } from "../registry/model_registry.ts";
import { coreOf, type InferenceSession } from "../session/inference_session.ts";
import type { Attendant } from "./attendant.ts";
import { type Batchability, findBatchAxes, proveBatchAxes } from "./batch_axes.ts";
import type { ModelSettings } from "./executor/messages.ts";
import { stateVariables } from "./executor/sequences.ts";
import type { Executors, Unproven } from "./executors.ts";
import { type CompleteConfig, completeConfig, definedConfig } from "./model_config.ts";
import { readsInPlace } from "./in_place.ts";
import { exampleFeeds, warmUp } from "./model_warmup.ts";

/** How often to look whether a model's file was changed, or it has had no request for long, in ms. */
const LOOK_MS = 1000;
/** How often to look whether a model that is withdrawn is idle, in ms, and for how long at most. */
const IDLE_LOOK_MS = 5, MOST_WITHDRAWAL_MS = 10_000;

/** What callers may change of how a model is served. */
export type ConfigOverrides = Partial<Pick<CompleteConfig, "maxBatchSize" | "maxQueueDelayMs">>;

/** One model of a worker. */
export class ServedEntry {
  readonly index: number;
  readonly name: string;
  config: CompleteConfig;
  state: "absent" | "loading" | "ready" | "failed" = "absent";
  /** Counts what was loaded under this number. */
  epoch = 0;
  session: InferenceSession | undefined;
  batching: Batchability = { reason: "maxBatchSize is 1" };
  /** Why the last load failed, though an older one may serve. */
  problem: Error | undefined;
  /** Of the file that is served, and of the one that was tried last. */
  fileState: string | undefined;
  loading: Promise<void> | undefined;
  /** Whether it was unloaded by a caller's wish: then no request loads it. */
  isWithdrawn = false;
  /** The last of what callers wished of it, one after the other. */
  controlled: Promise<void> = Promise.resolve();
  description: ModelDescription | undefined;
  /** In ms since the epoch, and of the monotonic clock. */
  loadedAt = 0;
  readyAt = 0;

  constructor(index: number, name: string, config: CompleteConfig) {
    this.index = index;
    this.name = name;
    this.config = config;
  }
}

/** The models of a worker: loaded through the process's registry, and given to all executors. */
export class ServedModels {
  readonly entries: readonly ServedEntry[];
  readonly #executors: Executors;
  readonly #lastAt: (model: number) => number;
  readonly #isIdle: (model: number) => boolean;
  #timer: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  /** @param lastAt when a model's last run ended, in ms @param isIdle whether nothing waits for a model, nor runs */
  constructor(
    configs: ReadonlyMap<string, CompleteConfig>,
    executors: Executors,
    attendant: Attendant,
    lastAt: (model: number) => number,
    isIdle: (model: number) => boolean,
  ) {
    this.entries = [...configs].map(([name, config], index) => new ServedEntry(index, name, config));
    this.#executors = executors;
    this.#lastAt = lastAt;
    this.#isIdle = isIdle;
    for (const entry of this.entries) {
      const settings = settingsOf(entry);
      attendant.set(entry.index, settings);
      this.#executors.tell({ kind: "settings", model: entry.index, settings });
    }
  }

  /** Loads all of them; requests are taken from then on. @throws as `InferenceSession.create`, of the first that failed */
  async loadAll(): Promise<void> {
    await Promise.all(this.entries.map((entry) => this.load(entry))).finally(() => this.open());
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Has executors take requests, also those that will be refused. */
  open(): void {
    this.#executors.tell({ kind: "open" });
  }

  /** The model of a name. @throws {WorkerError} UNKNOWN_MODEL */
  find(name: string, version: string | undefined): ServedEntry {
    const entry = this.entryOf(name);
    if (entry.isWithdrawn) throw withdrawnError(name);
    if (version === undefined || version === entry.config.version) return entry;
    const message =
      `There is no version "${version}" of model "${name}" here: its version is "${entry.config.version}"`;
    throw new WorkerError("UNKNOWN_MODEL", message);
  }

  /** The model of a name, also one that was withdrawn. @throws {WorkerError} UNKNOWN_MODEL */
  entryOf(name: string): ServedEntry {
    const entry = this.entries.find((entry) => entry.name === name);
    if (entry !== undefined) return entry;
    const known = this.entries.map(({ name }) => name).join(", ");
    throw new WorkerError("UNKNOWN_MODEL", `There is no model "${name}" here: the models are ${known}`);
  }

  /** Unloads a model when what it has is answered: there is none of its name until it is restored. */
  withdraw(entry: ServedEntry): Promise<void> {
    return this.#inTurn(entry, async () => {
      entry.isWithdrawn = true;
      for (const end = monotonicMs() + MOST_WITHDRAWAL_MS; !this.#isIdle(entry.index) && monotonicMs() < end;) {
        await sleep(IDLE_LOOK_MS);
      }
      while (entry.loading !== undefined || entry.session !== undefined) {
        if (entry.loading !== undefined) await entry.loading.catch(() => {});
        else await this.#unloading(entry);
      }
      Object.assign(entry, { state: "absent", problem: undefined });
    });
  }

  /**
   * Loads a model that was withdrawn or is not there, and one whose file was changed or that is to be served otherwise.
   *
   * @throws as `InferenceSession.create` @throws {TypeError | RangeError} for what it cannot be served by
   */
  restore(entry: ServedEntry, overrides: ConfigOverrides = {}): Promise<void> {
    return this.#inTurn(entry, async () => {
      while (entry.loading !== undefined) await entry.loading.catch(() => {});
      const before = entry.config, isOther = Object.keys(overrides).length > 0;
      if (isOther) entry.config = completeConfig(entry.name, { ...definedConfig(before), ...overrides });
      try {
        await (isOther || entry.session === undefined ? this.load(entry, true) : this.#reloadIfChanged(entry));
      } catch (error) {
        entry.config = before;
        throw error;
      }
      entry.isWithdrawn = false;
    });
  }

  #inTurn(entry: ServedEntry, work: () => Promise<void>): Promise<void> {
    const done = entry.controlled.then(work);
    entry.controlled = done.catch(() => {});
    return done;
  }

  /** What clients are told of a model, which is loaded for it if need be. */
  async describe(entry: ServedEntry): Promise<ModelDescription> {
    if (entry.session === undefined) await this.load(entry);
    return entry.description!;
  }

  /** Loads a model that is not there. @throws as `InferenceSession.create` @throws {WorkerError} UNKNOWN_MODEL if it was withdrawn */
  load(entry: ServedEntry, isRestored = false): Promise<void> {
    if (this.#closed) return Promise.reject(new WorkerError("WORKER_UNAVAILABLE", "The worker is closing"));
    if (entry.isWithdrawn && !isRestored) return Promise.reject(withdrawnError(entry.name));
    return entry.loading ??= this.#load(entry).finally(() => entry.loading = undefined);
  }

  /** Loads a model that its executors wait for. Where that fails, who waits for it is told. */
  wanted(index: number): void {
    const entry = this.entries[index];
    if (entry === undefined || entry.loading || entry.session || this.#closed) return;
    const before = monotonicMs(); // who came later may find it there
    this.load(entry).catch((error) => {
      this.#executors.tell({ kind: "refuse", model: index, before, error: errorMessage(error) });
    });
  }

  /** Proves whether requests like one can be joined. */
  async prove({ model, epoch, key, example }: Unproven): Promise<void> {
    const entry = this.entries[model]!, { session, batching, config } = entry;
    if (session === undefined || entry.epoch !== epoch || !("axes" in batching)) return;
    const { maxBatchSize, batchTolerance: tolerance } = config;
    const options = { maxBatchSize, example: exampleFeeds(example), ...(tolerance !== undefined && { tolerance }) };
    const reason = await proveBatchAxes(session, batching.axes, options).catch((error: Error) => error.message);
    this.#executors.tell({ kind: "proven", model, epoch, key, isJoinable: reason === undefined });
  }

  /** Loads models whose files were changed: what is served stays until the new one is ready. */
  async reload(): Promise<void> {
    await Promise.all(this.entries.map((entry) => this.#reloadIfChanged(entry)));
  }

  /** Lets go of all of them. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.allSettled(this.entries.map(({ loading }) => loading));
    for (const entry of this.entries) await entry.session?.[Symbol.asyncDispose]();
  }

  async #load(entry: ServedEntry): Promise<void> {
    const { config, index } = entry, identity = fileIdentity(config.path);
    if (entry.session === undefined) entry.state = "loading";
    entry.fileState = "state" in identity ? identity.state : undefined;
    const options = { ...config.session, ttlMs: 0 };
    let session: InferenceSession | undefined;
    try {
      session = await registry.load(config.path, options);
      stateVariables(coreOf(session), config.state);
      if (config.warmup) await warmUp(session, config.dimensions);
      const batching = await batchingOf(session, config), epoch = entry.epoch + 1;
      const description = describe(entry, session);
      const axes = "axes" in batching ? batching.axes : undefined;
      const inPlace = readsInPlace(config.path);
      const settings = { ...settingsOf(entry), axes, inPlace, revision: description.revision };
      await this.#executors.ask(
        { kind: "load", model: index, epoch, path: config.path, options, settings },
        "loaded",
      );
      const before = entry.session;
      const done = { state: "ready", problem: undefined, loadedAt: Date.now(), readyAt: monotonicMs() } as const;
      Object.assign(entry, { session, epoch, batching, description, ...done });
      await before?.[Symbol.asyncDispose]();
    } catch (error) {
      await session?.[Symbol.asyncDispose]();
      entry.problem = error as Error;
      if (entry.session === undefined) entry.state = "failed";
      throw error;
    }
  }

  #look(): void {
    for (const entry of this.entries) {
      if (entry.loading) continue;
      void this.#reloadIfChanged(entry).catch(() => {}); // it is told by the status
      const { ttlMs } = entry.config, { session } = entry;
      if (ttlMs < 0 || session === undefined || !this.#isIdle(entry.index)) continue;
      const idleSince = Math.max(entry.readyAt, this.#lastAt(entry.index));
      if (monotonicMs() - idleSince >= ttlMs) void this.#unloading(entry);
    }
  }

  async #reloadIfChanged(entry: ServedEntry): Promise<void> {
    await entry.loading?.catch(() => {}); // it may have begun before the change
    if (entry.session === undefined) return;
    const identity = fileIdentity(entry.config.path);
    if (!("state" in identity) || identity.state === entry.fileState) return;
    await this.load(entry);
  }

  #unloading(entry: ServedEntry): Promise<void> {
    return entry.loading = this.#unload(entry).finally(() => entry.loading = undefined);
  }

  async #unload(entry: ServedEntry): Promise<void> {
    const { session, index, epoch } = entry;
    await this.#executors.ask({ kind: "unload", model: index, epoch }, "unloaded");
    Object.assign(entry, { session: undefined, state: "absent" });
    await session?.[Symbol.asyncDispose]();
  }
}

const withdrawnError = (name: string): WorkerError =>
  new WorkerError("UNKNOWN_MODEL", `Model "${name}" is unloaded here`);

function settingsOf({ config, batching, description }: ServedEntry): ModelSettings {
  const { maxBatchSize, maxQueueDelayMs, maxQueueSize, queueTimeoutMs, state } = config;
  const axes = "axes" in batching ? batching.axes : undefined, revision = description?.revision ?? 0;
  return { maxBatchSize, maxQueueDelayMs, maxQueueSize, queueTimeoutMs, state, axes, revision, inPlace: false };
}

async function batchingOf(session: InferenceSession, config: CompleteConfig): Promise<Batchability> {
  const { maxBatchSize, dimensions, batchTolerance: tolerance } = config;
  if (maxBatchSize === 1) return { reason: "maxBatchSize is 1" };
  try {
    return await findBatchAxes(session, { maxBatchSize, dimensions, ...(tolerance !== undefined && { tolerance }) });
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return { reason: error.message };
  }
}

/** What clients are told of a model. Its revision stays the same as long as they need not be told again. */
function describe(
  { index, name, config, description: before }: ServedEntry,
  session: InferenceSession,
): ModelDescription {
  const { inputs, outputs } = session, overridable = coreOf(session).overridable.map(({ info }) => info);
  const { version } = config, state = Object.keys(config.state);
  const description = { index, name, version, revision: before?.revision ?? 1, inputs, outputs, overridable, state };
  const isSame = before === undefined || JSON.stringify(before) === JSON.stringify(description);
  return isSame ? description : { ...description, revision: description.revision + 1 };
}

/** What a model is called that was given as a path alone. */
export function nameOfPath(file: string): string {
  return path.basename(file).replace(/\.(onnx|ort)$/i, "");
}
