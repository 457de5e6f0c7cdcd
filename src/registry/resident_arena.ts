import { arenaPolicy } from "../session/idle_arena.ts";
import type { ModelStore } from "./model_store.ts";
import type { Resident } from "./residents.ts";
import type { SlotText } from "./slot_text.ts";
import { SLOT_F64, SLOT_STATE } from "./table.ts";

/** What gives memory back at this moment, and holds a model meanwhile that nobody uses. */
const holds = new Set<Promise<void>>();

/** Resolves when no model is held any more that nobody uses; `undefined` when that is so. It is a matter of moments. */
export function holdsOver(): Promise<unknown> | undefined {
  return holds.size === 0 ? undefined : Promise.all(holds);
}

/** Keeps a resident's session from being evicted until the result is disposed of. It counts as no use of the model. */
function hold({ table, release }: Pick<ModelStore, "table" | "release">, resident: Resident): Disposable | undefined {
  const { slot } = resident, read = (position: number): number => table.getF64(slot, position);
  const idleSince = read(SLOT_F64.idleSince), lastUse = read(SLOT_F64.lastUse);
  Atomics.add(table.counts, slot, 1); // first, as for a use: an eviction that does not see it is one that this sees
  if (table.state(slot) !== SLOT_STATE.ready || !resident.isCurrent(table)) {
    Atomics.sub(table.counts, slot, 1);
    return undefined;
  }
  const over = Promise.withResolvers<void>();
  holds.add(over.promise);
  return {
    [Symbol.dispose]() {
      holds.delete(over.promise);
      over.resolve();
      void release(slot);
      const unused = table.references(slot) === 0 && resident.isCurrent(table) && read(SLOT_F64.lastUse) === lastUse;
      if (unused && idleSince > 0) table.setF64(slot, SLOT_F64.idleSince, idleSince); // its time to live goes on
    },
  };
}

/** Says when a resident's activations go back to the system. */
export function keepArena(store: ModelStore, resident: Resident, text: SlotText): void {
  const held = { table: store.table, release: (slot: number) => store.release(slot) };
  resident.core?.keepArena(arenaPolicy(text, resident.sharing), () => hold(held, resident));
}
