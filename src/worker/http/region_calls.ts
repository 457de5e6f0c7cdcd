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
  status({ params: { region } }: Call): Reply {
    return json(served(this.#regions).status(region));
  }

  /** Registers the region that the body describes. */
  async register(call: Call): Promise<Reply> {
    const regions = served(this.#regions);
    regions.register(call.params.region!, parseObject(await call.body()));
    return nothing();
  }

  /** Forgets a region, or all; what runs on it goes on. */
  unregister({ params: { region } }: Call): Reply {
    served(this.#regions).unregister(region);
    return nothing();
  }
}

/** The regions. @throws {OipError} 501 where callers may name none */
export function served(regions: ClientRegions | undefined): ClientRegions {
  if (regions !== undefined) return regions;
  throw new OipError(501, "Shared memory of clients is not served here: see --allow-client-shm");
}
