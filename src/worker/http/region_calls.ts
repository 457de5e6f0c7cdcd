import { OipError } from "../../protocol/oip/oip_error.ts";
import { type Call, json, nothing, type Reply } from "./call.ts";
import type { ClientRegions } from "./client_regions.ts";
import { parseObject } from "./json_body.ts";

/** Callers' regions of shared memory, over HTTP. */
export class RegionCalls {
  readonly #regions: ClientRegions | undefined;

  /** @param regions `undefined` where callers may name none */
  constructor(regions: ClientRegions | undefined) {
    this.#regions = regions;
  }

  /** What is registered: all of it, or the region that the path names. */
  status(call: Call): Reply {
    return json(served(this.#regions, call).status(call.params.region));
  }

  /** Registers the region that the body describes. */
  async register(call: Call): Promise<Reply> {
    const regions = served(this.#regions, call);
    regions.register(call.params.region!, parseObject(await call.body()));
    return nothing();
  }

  /** Forgets a region, or all; what runs on it goes on. */
  unregister(call: Call): Reply {
    served(this.#regions, call).unregister(call.params.region);
    return nothing();
  }
}

/**
 * The regions, for who could read that memory without this server, too.
 *
 * @throws {OipError} 501 where callers may name none; 403 for processes of others
 */
export function served(regions: ClientRegions | undefined, call: Call): ClientRegions {
  if (regions === undefined) {
    throw new OipError(501, "Shared memory of clients is not served here: see --allow-client-shm");
  }
  if (call.isOfThisUser()) return regions;
  throw new OipError(403, "Shared memory is for processes of this machine, and of the user that this server runs as");
}
