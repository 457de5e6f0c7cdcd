import { owner, U32 } from "../../ffi/process/owner.ts";
import { exclusively } from "../../ffi/process/shared.ts";
import { joinOrt } from "../ort/environment.ts";
import { cancelLoad } from "../ort/native_load.ts";
import { nextSessionNumber } from "../session/session_number.ts";
import type { EvictionReason, RegistryEventDetail, RegistryEventType } from "./events.ts";
import { idleSlots, makeRoom } from "./eviction.ts";
import { describeFailure, revive } from "./failure.ts";
import type { Load, Loaded } from "./load.ts";
import type { Evicted, ModelStore } from "./model_store.ts";
import { holdsOver, keepArena } from "./resident_arena.ts";
import { Resident, sourceNumber } from "./residents.ts";
import { type Outcome, settled } from "./settled.ts";
import { findSlot, readText, writeText } from "./slot_text.ts";
import { HEADER, KIND, METRIC, SLOT_F64, SLOT_STATE, SLOT_U32, SLOT_U64 } from "./table.ts";

/** The loads of a registry: one for all who ask at once, in whichever thread. */
export class Loads {
  readonly #store: ModelStore;
  readonly #emit: (type: RegistryEventType, detail: RegistryEventDetail) => void;
  /** What this thread waits for. */
  readonly #joined = new Set<{ readonly slot: number; readonly load: Load }>();
  /** Why the load of a slot's generation failed. */
  readonly #errors = new Map<number, { readonly generation: number; readonly error: unknown }>();
  /** What a slot's load made, until its first waiter has it. */
  readonly #objects = new Map<number, NonNullable<Loaded["object"]>>();

  constructor(store: ModelStore, emit: (type: RegistryEventType, detail: RegistryEventDetail) => void) {
    this.#store = store;
    this.#emit = emit;
    store.adopt = (slot) => this.#adopt(slot);
  }

  /** What is wanted, counted once for the caller: as it is there, joined while it loads, or loaded. */
  async acquire(load: Load, signal: AbortSignal | undefined): Promise<Resident> {
    const held = holdsOver();
    if (held) await held; // who holds a model can make way in a moment
    return await this.#settled(this.#enter(load), load, signal);
  }

  /** The resident of a slot that is ready, made at this thread's first use of it. */
  resident(slot: number): Resident {
    const { residents, table } = this.#store, found = residents.at(slot);
    if (found) return found;
    if (table.getU32(slot, SLOT_U32.kind) === KIND.session) joinOrt(); // another thread may have loaded it
    const text = readText(table, slot), { key, alias } = text, held = this.#objects.get(slot);
    const made = residents.add(new Resident(table, slot, text, held));
    this.#objects.delete(slot);
    keepArena(this.#store, made, text);
    residents.name(made, key);
    residents.name(made, alias);
    return made;
  }

  #enter(load: Load): number {
    const { table } = this.#store, { key } = load.text, freed: Evicted[] = [];
    let isHit = false;
    const slot = exclusively(() => {
      const found = findSlot(table, "key", key, [SLOT_STATE.ready, SLOT_STATE.loading]);
      isHit = found !== undefined;
      const entered = found ?? this.#tryReserve(load, freed);
      Atomics.add(table.counts, entered, 1);
      if (load.ttlMs !== undefined) table.setF64(entered, SLOT_F64.ttlMs, load.ttlMs);
      table.setU32(entered, SLOT_U32.uses, table.getU32(entered, SLOT_U32.uses) + 1);
      table.setF64(entered, SLOT_F64.lastAccessed, Date.now());
      table.setF64(entered, SLOT_F64.idleSince, 0);
      table.setF64(entered, SLOT_F64.lastUse, ++table.options[HEADER.uses]!);
      return entered;
    });
    table.metrics[isHit ? METRIC.hits : METRIC.misses]!++;
    if (isHit) this.#emit("hit", { key: load.text.label });
    else void this.#run(slot, load, freed);
    return slot;
  }

  #tryReserve(load: Load, freed: Evicted[]): number {
    try {
      return this.#reserve(load, freed);
    } catch (error) {
      const { metrics } = this.#store.table;
      metrics[METRIC.misses]!++;
      metrics[METRIC.failures]!++;
      this.#emit("fail", { key: load.text.label, error });
      throw error;
    }
  }

  /** A slot for what is to be loaded, with room for it in the budget. */
  #reserve(load: Load, freed: Evicted[]): number {
    const { table } = this.#store, bytes = load.estimate(), { index } = owner();
    makeRoom(table, bytes, index, load.text.label, (victim) => this.#evictInto(freed, victim, "budget"));
    const slot = table.take();
    writeText(table, slot, load.text);
    table.setU32(slot, SLOT_U32.kind, load.kind);
    table.setU32(slot, SLOT_U32.id, nextSessionNumber());
    table.setF64(slot, SLOT_F64.bytes, bytes);
    table.setF64(slot, SLOT_F64.ttlMs, table.options[HEADER.ttlMs]!);
    this.#own(slot);
    table.setState(slot, SLOT_STATE.loading);
    return slot;
  }

  #own(slot: number): void {
    const { index, u32 } = owner();
    this.#store.table.setU32(slot, SLOT_U32.owner, index + 1);
    this.#store.table.setU32(slot, SLOT_U32.ownerGeneration, u32[U32.generation]!);
  }

  #evictInto(freed: Evicted[], slot: number, reason: EvictionReason): void {
    const evicted = this.#store.evict(slot, reason);
    if (evicted) freed.push(evicted);
  }

  async #run(slot: number, load: Load, freed: readonly Evicted[]): Promise<void> {
    const { table } = this.#store, generation = table.getU32(slot, SLOT_U32.generation);
    try {
      await Promise.all(freed.map(({ released }) => released));
      if (!this.#isLoading(slot, generation)) return; // everybody left before it began
      const loaded = await this.#make(slot, load);
      const kept = this.#settle(slot, generation, load, loaded);
      if (kept) this.#emit("load", { key: load.text.label, bytes: loaded.weights.bytes });
      else await this.#unmake(load, loaded);
    } catch (error) {
      exclusively(() => this.#fail(slot, generation, load, error));
      this.#emit("fail", { key: load.text.label, error });
    }
    this.#store.changed();
  }

  /** Loads, and once more when memory ran out and idle models could make way. */
  async #make(slot: number, load: Load): Promise<Loaded> {
    try {
      return await load.make(slot);
    } catch (error) {
      if ((error as { code?: unknown })?.code !== "OUT_OF_MEMORY") throw error;
      const freed: Evicted[] = [];
      for (const idle of idleSlots(this.#store.table, owner().index, "lru")) this.#evictInto(freed, idle, "memory");
      if (freed.length === 0) throw error;
      await Promise.all(freed.map(({ released }) => released));
      return await load.make(slot);
    }
  }

  async #unmake(load: Load, loaded: Loaded): Promise<void> {
    try {
      await load.unmake(loaded);
    } catch (error) {
      this.#emit("fail", { key: load.text.label, error });
    }
  }

  #settle(slot: number, generation: number, load: Load, loaded: Loaded): boolean {
    try {
      return exclusively(() => {
        if (!this.#isLoading(slot, generation)) return false; // an object's slot, freed when its last waiter left
        try {
          return this.#keep(slot, load, loaded);
        } finally {
          this.#store.table.setU64(slot, SLOT_U64.load, 0n);
        }
      });
    } catch (error) {
      void this.#unmake(load, loaded); // which is the user's code: not under the lock
      throw error;
    } finally {
      loaded.release?.();
    }
  }

  /** Makes what was loaded available, unless nobody waits for it any more. */
  #keep(slot: number, load: Load, loaded: Loaded): boolean {
    const { table } = this.#store;
    if (table.references(slot) === 0) {
      this.#store.free(slot);
      return false;
    }
    table.setF64(slot, SLOT_F64.bytes, 0);
    const { bytes, source } = loaded.weights;
    makeRoom(table, bytes, owner().index, load.text.label, (victim) => this.#store.evict(victim, "budget"));
    table.setF64(slot, SLOT_F64.bytes, bytes);
    table.setU32(slot, SLOT_U32.source, sourceNumber(source));
    table.setF64(slot, SLOT_F64.loadedAt, Date.now());
    loaded.disown?.();
    if (loaded.session) this.#store.keepSession(slot, loaded.session);
    if (loaded.object) this.#objects.set(slot, loaded.object);
    table.metrics[METRIC.loads]!++;
    table.setState(slot, table.getU32(slot, SLOT_U32.retired) ? SLOT_STATE.retired : SLOT_STATE.ready);
    return true;
  }

  #fail(slot: number, generation: number, load: Load, error: unknown): void {
    const { table } = this.#store;
    table.metrics[METRIC.failures]!++;
    if (!this.#isLoading(slot, generation)) return;
    table.setU64(slot, SLOT_U64.load, 0n);
    if (table.references(slot) === 0) return this.#store.free(slot);
    writeText(table, slot, { ...load.text, failure: describeFailure(error) });
    table.setF64(slot, SLOT_F64.bytes, 0);
    this.#errors.set(slot, { generation, error });
    table.setState(slot, SLOT_STATE.failed);
  }

  #isLoading(slot: number, generation: number): boolean {
    const { table } = this.#store;
    return table.state(slot) === SLOT_STATE.loading && table.getU32(slot, SLOT_U32.generation) === generation;
  }

  /** What became of what a waiter holds, if anything yet. */
  #outcome(slot: number): Outcome | undefined {
    const { table } = this.#store;
    let state = table.state(slot);
    if (state === SLOT_STATE.evicting) state = exclusively(() => table.state(slot)); // tried in vain: it is held
    if (state === SLOT_STATE.failed) return { error: this.#error(slot) };
    if (state !== SLOT_STATE.ready && state !== SLOT_STATE.retired) return undefined;
    try {
      return { resident: this.resident(slot) };
    } catch (error) {
      return { error };
    }
  }

  /** The same error for every waiter: in this thread one object, elsewhere one of the same words. */
  #error(slot: number): unknown {
    const { table } = this.#store, known = this.#errors.get(slot);
    if (known?.generation === table.getU32(slot, SLOT_U32.generation)) return known.error;
    return revive(readText(table, slot).failure!);
  }

  /** Waits until a slot is loaded. When that fails or the signal aborts, the caller's use is given back. */
  async #settled(slot: number, load: Load, signal: AbortSignal | undefined): Promise<Resident> {
    const joined = { slot, load };
    this.#joined.add(joined);
    try {
      return await settled(this.#store, slot, {
        outcome: () => this.#outcome(slot),
        leave: () => this.#leave(slot, load),
        ...(signal && { signal }),
      });
    } finally {
      this.#joined.delete(joined);
    }
  }

  /** One waiter less; the last one stops the load. */
  #leave(slot: number, load: Load): void {
    const { table } = this.#store;
    const wasLast = exclusively(() => {
      if (table.state(slot) !== SLOT_STATE.loading) return void this.#store.release(slot);
      Atomics.sub(table.counts, slot, 1);
      if (table.references(slot) > 0) return false;
      table.setU32(slot, SLOT_U32.retired, 1);
      const address = table.getU64(slot, SLOT_U64.load);
      if (address !== 0n) {
        joinOrt();
        cancelLoad(address);
      }
      if (load.kind === KIND.object) this.#store.free(slot);
      return true;
    });
    if (wasLast) load.cancel?.(); // which tells the user's listeners: not under the lock
  }

  /** Takes over the load of a thread that ended, for this thread waits for it. */
  #adopt(slot: number): void {
    const load = [...this.#joined].find((joined) => joined.slot === slot)?.load, { table } = this.#store;
    if (load === undefined) return;
    const generation = table.getU32(slot, SLOT_U32.generation);
    const session = exclusively(() => {
      if (!this.#isLoading(slot, generation)) return undefined;
      if (table.isOwnedBy(table.getU32(slot, SLOT_U32.owner), table.getU32(slot, SLOT_U32.ownerGeneration))) {
        return undefined;
      }
      joinOrt(); // first: if it throws, another thread may take the load over
      this.#own(slot);
      return this.#store.takeOrphan(slot);
    });
    if (session === undefined) return;
    const { sharedBytes: shared = 0 } = exclusively(() => readText(table, slot));
    const weights = { bytes: table.getF64(slot, SLOT_F64.bytes), shared, source: "estimated" } as const;
    void this.#run(slot, session === null ? load : { ...load, make: () => Promise.resolve({ session, weights }) }, []);
  }
}
