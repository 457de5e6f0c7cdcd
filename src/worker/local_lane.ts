import { setImmediate } from "node:timers";
import { ffi } from "../../ffi/mod.ts";
import { ClientLane } from "../protocol/client_lane.ts";
import { LaneCaller } from "../protocol/lane_caller.ts";
import type { Lanes } from "./lanes.ts";

/** A lane within the worker, for who brings tensors as bytes. */
export interface LocalLane extends AsyncDisposable {
  readonly client: number;
  readonly caller: LaneCaller;
}

/**
 * Makes a lane of this process's own memory.
 *
 * @param page where the worker's page lies
 * @param isAlone whether the worker's own thread has nothing else to do than the request that is made
 * @throws as `Lanes.open`
 */
export async function openLocalLane(
  lanes: Lanes,
  page: bigint,
  isAlone: () => boolean = () => false,
): Promise<LocalLane> {
  const { client, pages, bell, close } = lanes.open(false, 0);
  const lane = new ClientLane({ lane: pages.address, client, page, fd: undefined });
  const caller = new LaneCaller(lane, {
    cancel: (slot, sequence) => lanes.cancel(client, slot, sequence),
    isGone: () => false,
    hold() {},
    mayLook: oncePerTurn(isAlone),
  });
  const stream = await ffi.stream(bell.take(), { bytes: () => caller.heard(), drained() {}, closed() {} });
  return {
    client,
    caller,
    async [Symbol.asyncDispose]() {
      stream.close();
      await close();
    },
  };
}

/** The same, at most once in a turn of the event loop: what else came by then is not held up. */
function oncePerTurn(condition: () => boolean): () => boolean {
  let isOver = true;
  return () => {
    if (!isOver || !condition()) return false;
    isOver = false;
    setImmediate(() => isOver = true);
    return true;
  };
}
