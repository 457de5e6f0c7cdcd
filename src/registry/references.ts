import { type InferenceSession, makeSession } from "../session/inference_session.ts";
import { Reference } from "../session/reference.ts";
import { makeHandle, type ModelHandle } from "./model_handle.ts";
import type { ModelStore } from "./model_store.ts";
import type { Resident } from "./residents.ts";

/** A session over one use of a resident, which was counted for it. The store outlives its registry until then. */
export function sessionOf(store: ModelStore, resident: Resident): InferenceSession {
  const { slot, label, core } = resident;
  return makeSession(core!, resident, new Reference(label, () => store.release(slot)));
}

/** A handle over one use of a resident, as {@linkcode sessionOf}. */
export function handleOf<T>(store: ModelStore, resident: Resident): ModelHandle<T> {
  const { slot, label } = resident;
  return makeHandle(resident.object as T, label, new Reference(label, () => store.release(slot)), () => {
    Atomics.add(store.table.counts, slot, 1); // the handle that is cloned keeps the slot
    return handleOf<T>(store, resident);
  });
}
