import { WorkerError } from "../errors.ts";
import type { Feeds } from "../session/run_options.ts";
import { CallFrame } from "./call_frame.ts";
import type { CallOptions } from "./call_options.ts";
import type { Reachable } from "./call_parts.ts";
import type { ClientLane } from "./client_lane.ts";
import { SLOTS } from "./lane_layout.ts";
import type { RemoteModel } from "./remote_model.ts";

/** Bytes of the lane that requests which are over keep for the next ones. */
const MOST_IDLE_BYTES = 64 << 20;
/** Idle frames that are looked at for one of the same shapes. */
const MOST_TRIES = 8;

/** Frames without a request, kept for the next ones. */
export class FramePool {
  readonly #lane: ClientLane;
  /** Those used last at the end. */
  readonly #idle: CallFrame[] = [];
  #idleBytes = 0;

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** An idle frame that is laid out for such a request. */
  find(
    model: RemoteModel,
    feeds: Feeds,
    options: CallOptions | undefined,
    isReachable: Reachable,
  ): CallFrame | undefined {
    const idle = this.#idle;
    for (let i = idle.length - 1, tries = 0; i >= 0 && tries < MOST_TRIES; i--) {
      const frame = idle[i]!;
      if (frame.model !== model) continue;
      tries++;
      if (!frame.matches(feeds, options, isReachable)) continue;
      if (i === idle.length - 1) idle.pop();
      else idle.splice(i, 1);
      this.#idleBytes -= frame.heldBytes;
      return frame;
    }
    return undefined;
  }

  /** A frame for a request of another shape. @throws {WorkerError} WORKER_BUSY when all slots have requests */
  make(model: RemoteModel): CallFrame {
    let slot = this.#lane.takeSlot();
    while (slot === undefined && this.#idle.length > 0) {
      this.#evict();
      slot = this.#lane.takeSlot();
    }
    if (slot !== undefined) return new CallFrame(this.#lane, slot, model);
    throw new WorkerError("WORKER_BUSY", `Cannot run: ${SLOTS} requests of this client are in flight or given up`);
  }

  /** Takes a frame back whose request is over. */
  give(frame: CallFrame): void {
    frame.finish();
    this.#idle.push(frame);
    this.#idleBytes += frame.heldBytes;
    while (this.#idleBytes > MOST_IDLE_BYTES && this.#idle.length > 0) this.#evict();
  }

  #evict(): void {
    const frame = this.#idle.shift()!;
    this.#idleBytes -= frame.heldBytes;
    this.end(frame);
  }

  /** Ends a frame whose request is over. */
  end(frame: CallFrame): void {
    frame.finish();
    frame.dispose();
    this.#lane.giveSlot(frame.slot);
  }
}
