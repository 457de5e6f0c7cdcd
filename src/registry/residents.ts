import { ffi } from "../../ffi/mod.ts";
import { SessionCore } from "../session/session_core.ts";
import type { WeightMemory } from "../session/native_session.ts";
import type { Sharing } from "../weights/share.ts";
import type { SlotText } from "./slot_text.ts";
import { type RegistryTable, SLOT_F64, SLOT_STATE, SLOT_U32, SLOT_U64 } from "./table.ts";

const SOURCES: readonly WeightMemory["source"][] = ["measured", "declared", "estimated"];

/** The number that stands for a source in the table. */
export const sourceNumber = (source: WeightMemory["source"]): number => SOURCES.indexOf(source);

/** The source that a number of the table stands for. */
export const sourceName = (source: number): WeightMemory["source"] => SOURCES[source]!;

/** What this thread made for a slot: it is of use as long as the slot is of the same generation. */
export class Resident {
  readonly slot: number;
  readonly generation: number;
  readonly label: string;
  readonly core: SessionCore | undefined;
  /** The object of a `getOrLoad`, and how it is disposed of. */
  readonly object: unknown;
  readonly dispose: ((model: unknown) => unknown) | undefined;
  readonly weights: WeightMemory;
  readonly sharing: Sharing;

  constructor(
    table: RegistryTable,
    slot: number,
    { label, accelerated, sharing, sharedBytes = 0 }: SlotText,
    held: { object: unknown; dispose: ((model: unknown) => unknown) | undefined } | undefined,
  ) {
    this.slot = slot;
    this.generation = table.getU32(slot, SLOT_U32.generation);
    this.label = label;
    this.object = held?.object;
    this.dispose = held?.dispose;
    const source = sourceName(table.getU32(slot, SLOT_U32.source));
    const bytes = table.getF64(slot, SLOT_F64.bytes), shared = Math.min(sharedBytes, bytes); // which may be an estimate
    this.weights = { bytes, shared, source };
    this.sharing = sharing ?? { mode: "off", reason: "" };
    const session = ffi.pointer(table.getU64(slot, SLOT_U64.session));
    this.core = held
      ? undefined
      : new SessionCore(session!, `session-${table.getU32(slot, SLOT_U32.id)}`, !accelerated);
  }

  /** Whether the slot still holds what this was made for. */
  isCurrent(table: RegistryTable): boolean {
    if (table.getU32(this.slot, SLOT_U32.generation) !== this.generation) return false;
    const state = table.state(this.slot);
    return state !== SLOT_STATE.free && state !== SLOT_STATE.failed;
  }
}

/** What this thread made for the slots that it has used, by slot, and by what callers name them. */
export class Residents {
  readonly #table: RegistryTable;
  readonly #bySlot = new Map<number, Resident>();
  readonly #byName = new Map<string, Resident>();
  readonly #names = new Map<Resident, string[]>();

  constructor(table: RegistryTable) {
    this.#table = table;
  }

  /** The resident that a key or alias of this thread's led to last. It may be stale. */
  find(name: string): Resident | undefined {
    return this.#byName.get(name);
  }

  /** The resident of a slot, if it is current. */
  at(slot: number): Resident | undefined {
    const found = this.#bySlot.get(slot);
    if (found?.isCurrent(this.#table)) return found;
    if (found) this.forget(found);
    return undefined;
  }

  /** Adds a slot's resident. */
  add(resident: Resident): Resident {
    this.#bySlot.set(resident.slot, resident);
    this.#names.set(resident, []);
    return resident;
  }

  /** Lets a key or alias lead to a resident. */
  name(resident: Resident, name: string): void {
    const names = this.#names.get(resident);
    if (names === undefined || this.#byName.get(name) === resident) return;
    this.#byName.set(name, resident);
    names.push(name);
  }

  /** Drops a resident, and what this thread made for its runs. */
  forget(resident: Resident): void {
    for (const name of this.#names.get(resident) ?? []) {
      if (this.#byName.get(name) === resident) this.#byName.delete(name);
    }
    this.#names.delete(resident);
    if (this.#bySlot.get(resident.slot) === resident) this.#bySlot.delete(resident.slot);
    resident.core?.dispose();
  }

  /** Drops the residents whose slots another thread has given up. */
  forgetStale(): void {
    for (const resident of [...this.#bySlot.values()]) if (!resident.isCurrent(this.#table)) this.forget(resident);
  }
}
