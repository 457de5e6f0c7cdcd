import { clearTimeout, setTimeout } from "node:timers";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { onWake, wake } from "../../ffi/process/calls.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { owner, U32 } from "../../ffi/process/owner.ts";
import { reap } from "../../ffi/process/reaper.ts";
import { exclusively } from "../../ffi/process/shared.ts";
import { joinOrt, ort } from "../ort/environment.ts";
import { loadedSession, releaseLoad } from "../ort/native_load.ts";
import { releaseSession } from "../ort/release_session.ts";

import type { EvictionReason, RegistryEventDetail, RegistryEventType } from "./events.ts";
import { expiry } from "./eviction.ts";
import { type Resident, Residents } from "./residents.ts";
import { freeText, readText } from "./slot_text.ts";
import { HEADER, KIND, METRIC, RegistryTable, SLOT_F64, SLOT_STATE, SLOT_U32, SLOT_U64 } from "./table.ts";

/** How often a thread that keeps models looks for what others left behind, at least. */
const SWEEP_MS = 1000;
/** 32-bit words and 64-bit words of a slot, for {@linkcode ModelStore.acquire}, which looks straight into the table. */
const STATE_STRIDE = 32, TIME_STRIDE = 16;

/** What evicting one model gave back. */
export interface Evicted {
  readonly bytes: number;
  /** Resolves when the memory is the system's again. */
  readonly released: Promise<void>;
}

/** What a registry keeps: counts who uses it, lets it go in time, and cleans up after threads that ended. */
export class ModelStore {
  readonly table: RegistryTable;
  readonly residents: Residents;
  /** Called whenever a slot's state may have changed. */
  readonly watchers: Set<() => void> = new Set();
  /** Takes over the load of a thread that ended in the middle. */
  adopt: ((slot: number) => void) | undefined;
  readonly #shared: boolean;
  readonly #emit: (type: RegistryEventType, detail: RegistryEventDetail) => void;
  /** Notes of a private registry's sessions, should this thread end. */
  readonly #notes = new Map<number, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sweepAt = Infinity;

  constructor(shared: boolean, emit: (type: RegistryEventType, detail: RegistryEventDetail) => void) {
    this.table = shared ? RegistryTable.shared() : RegistryTable.private();
    this.residents = new Residents(this.table);
    this.#shared = shared;
    this.#emit = emit;
    if (shared) onWake(() => this.watchers.forEach((watch) => watch()));
    this.#sweepWithin(SWEEP_MS);
  }

  /** Whether every Worker of the process has this store. */
  get shared(): boolean {
    return this.#shared;
  }

  /** Counts one more use of what is there, without a lock. `false` when it is no longer there. */
  acquire(resident: Resident): boolean {
    const { table } = this, { slot } = resident, { u32 } = table;
    Atomics.add(table.counts, slot, 1); // first, so that an eviction that does not see it is one that this sees
    const at = slot * STATE_STRIDE;
    if (
      Atomics.load(u32, at + SLOT_U32.state) !== SLOT_STATE.ready ||
      u32[at + SLOT_U32.generation] !== resident.generation
    ) {
      Atomics.sub(table.counts, slot, 1);
      return false;
    }
    u32[at + SLOT_U32.uses]!++;
    table.f64[slot * TIME_STRIDE + SLOT_F64.idleSince] = 0; // should this thread end, its time to live starts anew
    table.f64[slot * TIME_STRIDE + SLOT_F64.lastAccessed] = Date.now();
    table.f64[slot * TIME_STRIDE + SLOT_F64.lastUse] = ++table.options[HEADER.uses]!;
    table.metrics[METRIC.hits]!++;
    return true;
  }

  /** Counts one use less; the last one starts the time to live. */
  release(slot: number): Promise<void> | void {
    const { table } = this;
    if (Atomics.sub(table.counts, slot, 1) > 1 || table.references(slot) > 0) return;
    const now = Date.now(), state = table.state(slot), ttlMs = table.getF64(slot, SLOT_F64.ttlMs);
    table.setF64(slot, SLOT_F64.idleSince, now);
    if (state === SLOT_STATE.failed) this.#freeIfFailed(slot);
    else if (state === SLOT_STATE.retired) return this.evict(slot, "unload")?.released;
    else if (state === SLOT_STATE.ready && ttlMs === 0) return this.evict(slot, "ttl")?.released;
    else if (ttlMs > 0) this.#sweepWithin(ttlMs);
  }

  /** Tells every thread that a slot's state has changed. */
  changed(): void {
    this.watchers.forEach((watch) => watch());
    if (this.#shared) this.table.others().forEach(wake);
    this.#sweepWithin(SWEEP_MS);
  }

  /** Makes a loaded session available under its slot. Under the lock. */
  keepSession(slot: number, session: Pointer): void {
    const address = ffi.address(session);
    this.table.setU64(slot, SLOT_U64.session, address);
    if (!this.#shared) this.#notes.set(slot, note(ort().address("ReleaseSession"), address, 0n, LEDGER.callLast));
  }

  /** Lets an unused model go; `undefined` when it is used, or is not this thread's to evict. */
  evict(slot: number, reason: EvictionReason): Evicted | undefined {
    const { table } = this;
    const gone = exclusively(() => {
      if (!this.#mayEvict(slot)) return undefined;
      const was = table.state(slot);
      if (was !== SLOT_STATE.ready && was !== SLOT_STATE.retired) return undefined;
      table.setState(slot, SLOT_STATE.evicting); // from now on no acquire succeeds
      if (table.references(slot) > 0) {
        table.setState(slot, was);
        return undefined;
      }
      const session = table.getU64(slot, SLOT_U64.session), resident = this.residents.at(slot);
      const { label } = readText(table, slot), bytes = table.getF64(slot, SLOT_F64.bytes);
      this.free(slot);
      return { session, resident, label, bytes };
    });
    if (gone === undefined) return undefined;
    const { session, resident, label, bytes } = gone;
    table.metrics[METRIC.evictions]!++;
    if (resident) this.residents.forget(resident);
    this.#emit("evict", { key: label, bytes, reason });
    const released = this.#releaseHeld(session, resident).catch((error) => this.#emit("fail", { key: label, error }));
    return { bytes, released };
  }

  /**
   * Lets models go: at once where nobody uses them, else when nobody does any more, and none is handed out meanwhile.
   * All of it under the lock, or another model could have taken a slot in between.
   */
  retire(reason: EvictionReason, condition: (slot: number) => boolean = () => true): (Evicted | undefined)[] {
    const { table } = this;
    return exclusively(() =>
      [...table.used()].filter(condition).map((slot) => {
        const evicted = this.evict(slot, reason);
        if (evicted) return evicted;
        table.setU32(slot, SLOT_U32.retired, 1);
        table.changeState(slot, SLOT_STATE.ready, SLOT_STATE.retired);
        return undefined;
      })
    );
  }

  async #releaseHeld(session: bigint, resident: Resident | undefined): Promise<void> {
    if (session !== 0n) {
      joinOrt(); // another thread may have loaded it
      await releaseSession(ffi.pointer(session)!);
    } else {
      await null; // what evicts may hold the process's lock, and dispose is the user's code
      await resident?.dispose?.(resident.object);
    }
  }

  /** Frees a slot and what it says. What it holds is the caller's now. Under the lock. */
  free(slot: number): void {
    const noted = this.#notes.get(slot);
    if (noted !== undefined) strike(noted);
    this.#notes.delete(slot);
    freeText(this.table, slot);
    this.table.setF64(slot, SLOT_F64.bytes, 0);
    this.table.setU64(slot, SLOT_U64.session, 0n);
    this.table.setState(slot, SLOT_STATE.free);
  }

  /** Frees a slot if that still holds under the lock: another thread may have freed it, and taken it for another model. */
  #freeIf(slot: number, condition: () => boolean): void {
    exclusively(() => {
      if (this.table.state(slot) !== SLOT_STATE.free && condition()) this.free(slot);
    });
  }

  #freeIfFailed(slot: number): void {
    const { table } = this;
    this.#freeIf(slot, () => table.state(slot) === SLOT_STATE.failed && table.references(slot) === 0);
  }

  /** Whether this thread loads the slot, or its object is this thread's. */
  isOwn(slot: number): boolean {
    const { index, u32 } = owner();
    return this.table.getU32(slot, SLOT_U32.owner) === index + 1 &&
      this.table.getU32(slot, SLOT_U32.ownerGeneration) === u32[U32.generation];
  }

  #mayEvict(slot: number): boolean {
    return this.table.getU32(slot, SLOT_U32.kind) === KIND.session || this.isOwn(slot);
  }

  #isOrphan(slot: number): boolean {
    const { table } = this;
    return !table.isOwnedBy(table.getU32(slot, SLOT_U32.owner), table.getU32(slot, SLOT_U32.ownerGeneration));
  }

  #isOrphanedObject(slot: number): boolean {
    return this.table.getU32(slot, SLOT_U32.kind) === KIND.object && this.#isOrphan(slot);
  }

  /** Evicts what has expired, and cleans up after threads that ended. */
  async sweep(): Promise<{ count: number; bytes: number }> {
    await reap();
    const { table } = this, now = Date.now(), evicted: Evicted[] = [];
    for (const slot of [...table.used()]) {
      try {
        const gone = this.#tend(slot, now);
        if (gone) evicted.push(gone);
      } catch (error) { // onnxruntime cannot be had in this thread: another may clean up, and this one goes on
        const key = exclusively(() => table.getU64(slot, SLOT_U64.text) === 0n ? "" : readText(table, slot).label);
        this.#emit("fail", { key, error });
      }
    }
    this.residents.forgetStale();
    this.#sweepWithin(this.#untilNextExpiry());
    await Promise.all(evicted.map(({ released }) => released));
    return { count: evicted.length, bytes: evicted.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  #tend(slot: number, now: number): Evicted | undefined {
    const { table } = this, state = table.state(slot), used = table.references(slot) > 0;
    if (state === SLOT_STATE.evicting) this.#repair(slot);
    else if (this.#isOrphanedObject(slot)) this.#freeIf(slot, () => this.#isOrphanedObject(slot));
    else if (state === SLOT_STATE.loading) this.#rescue(slot);
    else if (state === SLOT_STATE.failed) this.#freeIfFailed(slot);
    else if (!used && table.getF64(slot, SLOT_F64.idleSince) === 0) table.setF64(slot, SLOT_F64.idleSince, now);
    const due = expiry(table, slot);
    const reason = state === SLOT_STATE.retired ? "unload" : due !== undefined && due <= now ? "ttl" : undefined;
    return !used && reason ? this.evict(slot, reason) : undefined;
  }

  /** Sees to a load whose thread has ended, and whose call is over: whoever waits takes it over, else it is freed. */
  #rescue(slot: number): void {
    if (!this.#isOrphan(slot)) return;
    if (this.table.references(slot) > 0) return this.table.counts[slot]! > 0 ? this.adopt?.(slot) : undefined;
    const session = exclusively(() => {
      if (this.table.state(slot) !== SLOT_STATE.loading || this.table.references(slot) > 0) return null;
      if (!this.#isOrphan(slot)) return null;
      const made = this.takeOrphan(slot);
      this.free(slot);
      return made;
    });
    if (session) void releaseSession(session);
  }

  /** Takes back or completes the eviction that a thread ended in the middle of: under the lock nobody else evicts. */
  #repair(slot: number): void {
    const { table } = this;
    const session = exclusively(() => {
      if (table.state(slot) !== SLOT_STATE.evicting) return null;
      if (table.getU64(slot, SLOT_U64.text) !== 0n) {
        table.setState(slot, table.getU32(slot, SLOT_U32.retired) ? SLOT_STATE.retired : SLOT_STATE.ready);
        return null;
      }
      const held = ffi.pointer(table.getU64(slot, SLOT_U64.session));
      if (held) joinOrt(); // first: if it throws, another thread repairs the slot
      this.free(slot);
      return held;
    });
    if (session) void releaseSession(session);
  }

  /** The session that an ended thread's load has made, if it has; what the load needed is released. Under the lock. */
  takeOrphan(slot: number): Pointer | null {
    const { table } = this, load = table.getU64(slot, SLOT_U64.load);
    if (load === 0n) return null;
    joinOrt();
    const session = loadedSession(load);
    releaseLoad(load, Number(table.getU64(slot, SLOT_U64.loadByteLength)));
    table.setU64(slot, SLOT_U64.load, 0n);
    return session;
  }

  #untilNextExpiry(): number {
    const mine = [...this.table.used()].filter((slot) => this.#mayEvict(slot));
    const times = mine.map((slot) => expiry(this.table, slot) ?? Infinity);
    return Math.max(0, Math.min(SWEEP_MS, ...times.map((time) => time - Date.now())));
  }

  /** Sees to it that a sweep comes within so many ms, on a timer that does not keep the process alive. */
  #sweepWithin(ms: number): void {
    const at = Date.now() + ms;
    if (at >= this.#sweepAt) return;
    clearTimeout(this.#timer);
    this.#sweepAt = at;
    this.#timer = setTimeout(() => {
      this.#sweepAt = Infinity;
      this.sweep().catch((error) => {
        this.#emit("fail", { key: "", error });
        this.#sweepWithin(SWEEP_MS);
      });
    }, ms).unref();
  }

  /** Stops sweeping; for a registry that ends. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#sweepAt = -Infinity;
  }
}
