import { readdirSync, readlinkSync } from "node:fs";
import { SHARED_DIRECTORY } from "../../../src/memory/region_file.ts";
import type { ClientRegions } from "../../../src/worker/http/client_regions.ts";

/** Bounds beyond what most tests need. */
export const LIMITS = { most: 8, mostBytes: 1 << 20 };

/** What a refusal looks like, for `assert.throws`. */
export function refused(status: number, message?: RegExp): { name: string; status: number; message?: RegExp } {
  return { name: "OipError", status, ...(message && { message }) };
}

/** Bytes from 1 up. */
export function bytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i + 1);
}

/** Which bytes of a region. */
export function part(
  region: string,
  byteOffset: number,
  byteLength: number,
): { region: string; byteOffset: number; byteLength: number } {
  return { region, byteOffset, byteLength };
}

/** Bytes of a region. */
export function read(regions: ClientRegions, region: string, byteOffset: number, byteLength: number): number[] {
  const target = new Uint8Array(byteLength);
  regions.read(part(region, byteOffset, byteLength), target);
  return [...target];
}

/** Descriptors of this process that lead to shared memory. */
export function descriptors(): number {
  const leadsThere = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${SHARED_DIRECTORY}/`);
    } catch {
      return false; // the one that listed them
    }
  };
  return readdirSync("/proc/self/fd").filter(leadsThere).length;
}
