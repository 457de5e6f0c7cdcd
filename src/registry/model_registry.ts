import { owner, U32 } from "../../ffi/process/owner.ts";
import { exclusively } from "../../ffi/process/shared.ts";
import { disposedError, typeError } from "../errors.ts";
import type { ModelSource } from "../ort/model_source.ts";
import { checkOptionNames, checkSessionOptions, type SessionOptions } from "../ort/session_options.ts";
import type { InferenceSession } from "../session/inference_session.ts";
import type { RegistryEventDetail, RegistryEventType } from "./events.ts";
import { POLICIES } from "./eviction.ts";
import { type AcquireOptions, aliasOf, checkAcquireOptions, modelKey } from "./key.ts";
import type { Load } from "./load.ts";
import { Loads } from "./loads.ts";
import type { ModelHandle } from "./model_handle.ts";
import { ModelStore } from "./model_store.ts";
import { objectLoad } from "./object_load.ts";
import { handleOf, sessionOf } from "./references.ts";
import { checkRegistryOptions } from "./registry_options.ts";
import type { LoadedModel, ModelInfo, RegistryMetrics, RegistryOptions } from "./registry_types.ts";
import { listModels, registryMetrics } from "./report.ts";
import type { Resident } from "./residents.ts";
import { holdsOver } from "./resident_arena.ts";
import { sessionLoad } from "./session_load.ts";
import { findSlot, readText } from "./slot_text.ts";
import { HEADER, SLOT_F64, SLOT_STATE } from "./table.ts";

const KEPT: readonly number[] = [SLOT_STATE.loading, SLOT_STATE.ready, SLOT_STATE.retired];

/** Makes the registry that all Workers of the process share. */
export let processRegistry: () => ModelRegistry;

/**
 * Keeps models: each is loaded once for all who ask, handed out as counted references, and let go when nobody has used
 * it for a while or its memory is wanted.
 *
 * `new ModelRegistry()` is the thread's own; {@linkcode models} is the process's. It tells `load`, `hit`, `evict` and
 * `fail` as `CustomEvent`s whose `detail` is a {@linkcode RegistryEventDetail}, in the thread that acted.
 *
 * @example
 * ```ts
 * import { ModelRegistry } from "@coload/onnx";
 *
 * await using registry = new ModelRegistry({ ttlMs: 60_000, maxMemoryBytes: 2 ** 30 });
 * console.log(registry.metrics().totalModels); // 0
 * ```
 */
export class ModelRegistry extends EventTarget implements AsyncDisposable {
  #options: RegistryOptions | undefined;
  #shared = false;
  #kept: { readonly store: ModelStore; readonly loads: Loads } | undefined;
  #disposed = false;
  readonly #listening = new Set<string>();

  /**
   * A registry of the thread's own, set up at its first use.
   *
   * @throws {RangeError | TypeError} for bad options
   */
  constructor(options: RegistryOptions = {}) {
    super();
    checkRegistryOptions(options);
    this.#options = options;
  }

  static {
    processRegistry = () => {
      const registry = new ModelRegistry();
      registry.#options = undefined; // another Worker may have set them
      registry.#shared = true;
      return registry;
    };
  }

  /** What is kept, set up at the first use. */
  get #keep(): { readonly store: ModelStore; readonly loads: Loads } {
    if (this.#kept) return this.#kept;
    if (this.#disposed) throw disposedError("the registry");
    const emit = (type: RegistryEventType, detail: RegistryEventDetail): void => this.#emit(type, detail);
    const store = new ModelStore(this.#shared, emit);
    this.#kept = { store, loads: new Loads(store, emit) };
    if (this.#options) this.configure(this.#options);
    return this.#kept;
  }

  #emit(type: RegistryEventType, detail: RegistryEventDetail): void {
    if (!this.#listening.has(type)) return;
    queueMicrotask(() => this.dispatchEvent(new CustomEvent(type, { detail })));
  }

  /** Listens to `load`, `hit`, `evict` or `fail`. */
  override addEventListener(
    type: RegistryEventType,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    this.#listening.add(type);
    super.addEventListener(type, listener, options);
  }

  /** Changes what is given; for {@linkcode models} in every Worker, and the last call wins. @throws as the constructor */
  configure(options: RegistryOptions): void {
    checkRegistryOptions(options);
    const { ttlMs, maxMemoryBytes, evictionPolicy } = options, { table } = this.#keep.store;
    exclusively(() => {
      if (ttlMs !== undefined) table.options[HEADER.ttlMs] = ttlMs;
      if (maxMemoryBytes !== undefined) {
        table.options[HEADER.maxMemoryBytes] = maxMemoryBytes === Infinity ? -1 : maxMemoryBytes;
      }
      if (evictionPolicy !== undefined) table.header[HEADER.policy] = POLICIES.indexOf(evictionPolicy);
    });
  }

  /**
   * A counted reference to a model: the one that is there, or that is being loaded, or a new one. The event loop stays
   * free. Bytes are known by their digest.
   *
   * @returns a session that the caller owns a share of: dispose gives it back
   * @throws as `InferenceSession.create`, the same for all who wait for one load
   * @throws {MemoryError} MEMORY_BUDGET when the budget does not hold it
   * @throws {ReferenceError} DISPOSED after a registry of the thread's own was
   */
  async load(model: ModelSource, options: SessionOptions & AcquireOptions = {}): Promise<InferenceSession> {
    checkOptionNames(options, ["ttlMs", "key"]);
    checkSessionOptions(options);
    checkAcquireOptions(options);
    options.signal?.throwIfAborted();
    const { store, loads } = this.#keep;
    const found = modelKey(model, options), key = found instanceof Promise ? await found : found;
    if (this.#disposed) throw disposedError("the registry");
    const known = store.residents.find(key.key);
    if (known && store.acquire(known)) {
      store.residents.name(known, key.alias);
      if (options.ttlMs !== undefined) store.table.setF64(known.slot, SLOT_F64.ttlMs, options.ttlMs);
      return this.#hit(store, known);
    }
    const resident = await loads.acquire(sessionLoad(store, key, options), options.signal);
    store.residents.name(resident, key.alias);
    return sessionOf(store, resident);
  }

  /**
   * A counted reference to a model that is there, at once: by the path as it was given before, without a look at the
   * disk. `undefined` when it is not there; that counts as no request. The caller owns a share, as of
   * {@linkcode ModelRegistry.load}.
   *
   * @throws {TypeError} INVALID_ARGUMENT for a URL of no file
   * @throws {ReferenceError} DISPOSED
   */
  get(model: string | URL, options?: SessionOptions & AcquireOptions): InferenceSession | undefined {
    const alias = options === undefined && typeof model === "string" ? model : aliasOf(model, options);
    const { store } = this.#kept ?? this.#keep, known = store.residents.find(alias);
    if (known !== undefined && store.acquire(known)) {
      if (options?.ttlMs !== undefined) store.table.setF64(known.slot, SLOT_F64.ttlMs, options.ttlMs);
      return this.#hit(store, known);
    }
    return this.#find(alias);
  }

  /** Looks for what another Worker has loaded. */
  #find(alias: string): InferenceSession | undefined {
    const { store, loads } = this.#keep;
    return exclusively(() => {
      const slot = findSlot(store.table, "alias", alias, [SLOT_STATE.ready]);
      if (slot === undefined) return undefined;
      const resident = loads.resident(slot);
      return store.acquire(resident) ? this.#hit(store, resident) : undefined;
    });
  }

  #hit(store: ModelStore, resident: Resident): InferenceSession {
    if (this.#listening.size > 0) this.#emit("hit", { key: resident.label });
    return sessionOf(store, resident);
  }

  /**
   * A counted reference to any object, made by `loader` unless it is there: processors, tokenizers. Such objects are
   * each Worker's own; metrics and budget are shared.
   *
   * @param loader gets a signal that aborts when nobody waits any more
   * @returns a handle that owns a share: dispose gives it back
   * @throws {NativeError} LOADER_FAILED when the loader returns no model; what the loader throws otherwise
   * @throws {MemoryError} MEMORY_BUDGET
   * @throws {TypeError | RangeError} for a bad key or bad options
   * @throws {ReferenceError} DISPOSED
   */
  async getOrLoad<T>(
    key: string,
    loader: (signal: AbortSignal) => LoadedModel<T> | Promise<LoadedModel<T>>,
    options: AcquireOptions = {},
  ): Promise<ModelHandle<T>> {
    if (typeof key !== "string" || key === "") {
      throw typeError("INVALID_ARGUMENT", `Cannot load an object under the key ${JSON.stringify(key)}: a name wanted`);
    }
    checkAcquireOptions(options);
    options.signal?.throwIfAborted();
    const { store, loads } = this.#keep, { index, u32 } = owner();
    const load: Load = objectLoad(`\0object:${index}.${u32[U32.generation]}:${key}`, key, loader, options.ttlMs);
    const known = store.residents.find(load.text.key);
    if (known && store.acquire(known)) {
      if (options.ttlMs !== undefined) store.table.setF64(known.slot, SLOT_F64.ttlMs, options.ttlMs);
      if (this.#listening.size > 0) this.#emit("hit", { key });
      return handleOf<T>(store, known);
    }
    return handleOf<T>(store, await loads.acquire(load, options.signal));
  }

  /** The models that are there or being loaded. @throws {ReferenceError} DISPOSED */
  list(): ModelInfo[] {
    return listModels(this.#keep.store.table);
  }

  /** What was counted so far. @throws {ReferenceError} DISPOSED */
  metrics(): RegistryMetrics {
    return registryMetrics(this.#keep.store.table);
  }

  /**
   * Lets a model go, whatever its time to live. One that is used stays with those who use it and is handed out no more.
   *
   * @param key as {@linkcode ModelRegistry.list} gives it, or a path as it was given to `load`
   * @returns whether there was such a model; resolves when its memory is given back, if nobody uses it
   * @throws {ReferenceError} DISPOSED
   */
  async unload(key: string): Promise<boolean> {
    const { store } = this.#keep, { table } = store;
    const retired = store.retire("unload", (slot) => {
      if (!KEPT.includes(table.state(slot))) return false;
      const { label, alias } = readText(table, slot);
      return label === key || alias === key;
    });
    await Promise.all(retired.map((evicted) => evicted?.released));
    return retired.length > 0;
  }

  /**
   * Lets go what has outlived its time, now.
   *
   * @returns how many models that were, and the bytes they held, once those are given back
   * @throws {ReferenceError} DISPOSED
   */
  evictExpired(): Promise<{ count: number; bytes: number }> {
    return this.#keep.store.sweep();
  }

  /** Lets every model go, as {@linkcode ModelRegistry.unload} does. @throws {ReferenceError} DISPOSED */
  async clear(): Promise<void> {
    const { store } = this.#keep, held = holdsOver();
    if (held) await held;
    await Promise.all(store.retire("clear").map((evicted) => evicted?.released));
  }

  /**
   * Clears it; a registry of the thread's own can then be used no more. Who waits for a load still gets it, and what is
   * held stays until it is disposed.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const kept = this.#kept;
    if (!this.#shared) {
      this.#disposed = true;
      this.#kept = undefined;
      kept?.store.stop();
    }
    const held = holdsOver();
    if (held) await held;
    await Promise.all(kept?.store.retire("clear").map((evicted) => evicted?.released) ?? []);
  }
}

/**
 * THE registry of the process: every Worker's `models` is the same one. Its options, models, counts and metrics are the
 * process's; `signal`, `onProgress`, events and the objects of `getOrLoad` are the Worker's own.
 *
 * @example
 * ```ts
 * import { models } from "@coload/onnx";
 *
 * const file = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
 * const nodes = await Promise.all([1, 2, 3].map(() => models.load(file, { ttlMs: 5_000 })));
 * console.log(new Set(nodes.map((session) => session.id)).size); // 1
 *
 * using hit = models.get(file); // at once, or undefined
 * console.log(hit?.memory.weights, models.metrics().hitRate);
 * for (const session of nodes) session[Symbol.dispose]();
 * ```
 */
export const models: ModelRegistry = processRegistry();
