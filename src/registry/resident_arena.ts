import { arenaPolicy } from "../session/idle_arena.ts";
import type { ModelStore } from "./model_store.ts";
import type { Resident } from "./residents.ts";
import type { SlotText } from "./slot_text.ts";
import { SLOT_F64, SLOT_STATE } from "./table.ts";

/** Keeps a resident's session from being evicted until the result is disposed of. It counts as no use of the model. */
function hold({ table, release }: Pick<ModelStore, "table" | "release">, resident: Resident): Disposable | undefined {
  const { slot } = resident, idleSince = table.getF64(slot, SLOT_F64.idleSince);
  Atomics.add(table.counts, slot, 1); // first, as for a use: an eviction that does not see it is one that this sees
  if (table.state(slot) !== SLOT_STATE.ready || !resident.isCurrent(table)) {
    Atomics.sub(table.counts, slot, 1);
    return undefined;
  }
  return {
    [Symbol.dispose]() {
      void release(slot);
      const unused = table.references(slot) === 0 && resident.isCurrent(table);
      if (unused && idleSince > 0) table.setF64(slot, SLOT_F64.idleSince, idleSince); // its time to live goes on
    },
  };
}

/** Says when a resident's activations go back to the system. */
export function keepArena(store: ModelStore, resident: Resident, { shrinkArena }: SlotText): void {
  const held = { table: store.table, release: (slot: number) => store.release(slot) };
  resident.core?.keepArena(arenaPolicy(shrinkArena, resident.sharing), () => hold(held, resident));
}
