import { rangeError, typeError } from "../errors.ts";
import { POLICIES } from "./eviction.ts";
import { checkAcquireOptions } from "./key.ts";
import type { RegistryOptions } from "./registry_types.ts";

/** @throws {RangeError | TypeError} for options that are not what their types say */
export function checkRegistryOptions(options: RegistryOptions): void {
  checkAcquireOptions(options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs });
  const { maxMemoryBytes: max, evictionPolicy: policy } = options;
  if (max !== undefined && !(max >= 0)) {
    throw rangeError("OUT_OF_RANGE", `Cannot bound a registry's memory to ${max}: bytes from 0 wanted, or Infinity`);
  }
  if (policy !== undefined && !POLICIES.includes(policy)) {
    throw typeError("INVALID_ARGUMENT", `Cannot evict by "${policy}": ${POLICIES.join(", ")} wanted`);
  }
}
