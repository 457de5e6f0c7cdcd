import type { Pointer } from "../../ffi/mod.ts";
import type { WeightMemory } from "../session/native_session.ts";
import type { SlotText } from "./slot_text.ts";

/** What a load has made. */
export interface Loaded {
  readonly session?: Pointer;
  readonly object?: { readonly object: unknown; readonly dispose: ((model: unknown) => unknown) | undefined };
  readonly weights: WeightMemory;
  /** Takes the session out of this thread's ledger, right before its next owner notes it. Harmless when repeated. */
  readonly disown?: () => void;
  /** Releases what a native load needed. Until the slot says otherwise another thread may cancel it or take it over. */
  readonly release?: () => void;
}

/** One thing to be loaded unless it is there. */
export interface Load {
  readonly text: SlotText;
  readonly kind: number;
  readonly ttlMs: number | undefined;
  /** Bytes that it is expected to take. */
  estimate(): number;
  /** Loads it. What a native load needs while in flight is noted in the slot. */
  make(slot: number): Promise<Loaded>;
  /** Releases what was made and nobody wants any more. */
  unmake(loaded: Loaded): unknown;
  /** Stops a load of this thread that nobody waits for any more. */
  cancel?(): void;
}
