import { ffi } from "../../ffi/mod.ts";
import { ClientLane } from "../protocol/client_lane.ts";
import { LaneCaller } from "../protocol/lane_caller.ts";
import type { Lanes } from "./lanes.ts";

/**
 * For how long the worker's own thread looks for the answer of a request that is alone, in ms: about what it would take
 * that its event loop sleeps and is woken, on a core that sleeps too.
 */
const LOOK_MS = 0.15;

/** A lane within the worker, for who brings tensors as bytes. */
export interface LocalLane extends AsyncDisposable {
  readonly client: number;
  readonly caller: LaneCaller;
}

/** Makes a lane of this process's own memory. @param page where the worker's page lies @throws as `Lanes.open` */
export async function openLocalLane(lanes: Lanes, page: bigint): Promise<LocalLane> {
  const { client, pages, bell, close } = lanes.open(false, 0);
  const lane = new ClientLane({ lane: pages.address, client, page, fd: undefined });
  const caller = new LaneCaller(lane, {
    cancel: (slot, sequence) => lanes.cancel(client, slot, sequence),
    isGone: () => false,
    hold() {},
    lookMs: LOOK_MS,
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
