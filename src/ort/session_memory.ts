import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { ort } from "./environment.ts";
import { pointerIn, scratch } from "./scratch.ts";

/** A session's arena, in bytes. */
export interface ArenaStatistics {
  /** In use: right after creation the weights, packed ones included. */
  readonly inUse: number;
  /** Taken from the system. */
  readonly reserved: number;
}

/** Statistics of a session's CPU arena; `undefined` where it has none, or the library cannot say. */
export function arenaStatistics(session: Pointer): ArenaStatistics | undefined {
  const { api, cpuMemory } = ort(), { a } = scratch();
  if (!api.AllocatorGetStats) return undefined;
  const release = (status: Pointer): undefined => void api.ReleaseStatus(status);
  const created = api.CreateAllocator(session, cpuMemory, a);
  if (created !== null) return release(created);
  const allocator = pointerIn()!;
  try {
    const status = api.AllocatorGetStats(allocator, a);
    if (status !== null) return release(status);
    const pairs = pointerIn()!;
    const read = (key: string): number => {
      const value = api.GetKeyValue(pairs, cstring(key));
      return value === null ? 0 : Number(ffi.string(value));
    };
    const statistics = { inUse: read("InUse"), reserved: read("TotalAllocated") };
    api.ReleaseKeyValuePairs(pairs);
    return statistics.reserved > 0 ? statistics : undefined;
  } finally {
    api.ReleaseAllocator(allocator);
  }
}
