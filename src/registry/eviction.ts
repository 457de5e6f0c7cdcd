import { MemoryError } from "../errors.ts";
import { HEADER, KIND, type RegistryTable, SLOT_F64, SLOT_STATE, SLOT_U32 } from "./table.ts";

/** Which idle models go first: the least recently used, the least frequently used, or none by itself. */
export type EvictionPolicy = "lru" | "lfu" | "none";
/** The policies, by the number that stands for them in a table. */
export const POLICIES: readonly EvictionPolicy[] = ["lru", "lfu", "none"];

/** Bytes that a table's models hold or have reserved. */
export function totalBytes(table: RegistryTable): number {
  let sum = 0;
  for (const slot of table.used()) sum += table.getF64(slot, SLOT_F64.bytes);
  return sum;
}

/** When a slot may go, in ms since the epoch; `undefined` while it is used, or when it may stay for ever. */
export function expiry(table: RegistryTable, slot: number): number | undefined {
  const ttlMs = table.getF64(slot, SLOT_F64.ttlMs), idleSince = table.getF64(slot, SLOT_F64.idleSince);
  return ttlMs < 0 || idleSince === 0 || table.references(slot) > 0 ? undefined : idleSince + ttlMs;
}

/** Idle models that this thread can evict, those to go first in front. Objects are their own thread's to evict. */
export function idleSlots(table: RegistryTable, owner: number, policy: EvictionPolicy): number[] {
  const idle = [...table.used()].filter((slot) =>
    table.state(slot) === SLOT_STATE.ready && table.references(slot) === 0 &&
    (table.getU32(slot, SLOT_U32.kind) === KIND.session || table.getU32(slot, SLOT_U32.owner) === owner + 1)
  );
  const recency = (slot: number): number => table.getF64(slot, SLOT_F64.lastUse);
  const frequency = (slot: number): number => table.getU32(slot, SLOT_U32.uses);
  return idle.sort((a, b) =>
    policy === "lfu" ? frequency(a) - frequency(b) || recency(a) - recency(b) : recency(a) - recency(b)
  );
}

/**
 * Evicts idle models until so many more bytes fit into the budget. Under the lock.
 *
 * @throws {MemoryError} MEMORY_BUDGET when they do not fit even then; nothing is evicted in vain
 */
export function makeRoom(
  table: RegistryTable,
  needed: number,
  owner: number,
  what: string,
  evict: (slot: number) => void,
): void {
  const max = table.options[HEADER.maxMemoryBytes]!;
  if (max < 0) return;
  const policy = POLICIES[table.header[HEADER.policy]!]!, victims: number[] = [];
  let available = max - totalBytes(table);
  for (const slot of policy === "none" ? [] : idleSlots(table, owner, policy)) {
    if (available >= needed) break;
    available += table.getF64(slot, SLOT_F64.bytes);
    victims.push(slot);
  }
  if (available < needed) {
    throw new MemoryError(
      "MEMORY_BUDGET",
      `Cannot load ${what}: ${needed} bytes needed, ${Math.max(0, available)} of the budget of ${max} available`,
      { neededBytes: needed, availableBytes: Math.max(0, available) },
    );
  }
  victims.forEach(evict);
}
