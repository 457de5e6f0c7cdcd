import { readStart, reserveBytes, statusOf, unlinkShared } from "../../ffi/descriptors.ts";
import { namesIn } from "../../ffi/file_system.ts";
import { isLockedElsewhere, tryLockBytes } from "../../ffi/locks.ts";
import { ffi } from "../../ffi/mod.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import {
  freeBlock,
  isAbandoned,
  isAnySent,
  isSpent,
  NOTHING,
  type OpenTables,
  OWNER_SLOT,
  reclaimAll,
  reclaimBlocks,
  type Reclaimed,
} from "./reclaim.ts";
import { isRegionName, openFile, type RegionFile, SHARED_DIRECTORY } from "./region_file.ts";
import { SLOTS } from "./region_layout.ts";
import { RegionTables } from "./region_tables.ts";

/** Names in /dev/shm that could be regions; none where it is missing. */
export function regionNames(): string[] {
  try {
    return namesIn(SHARED_DIRECTORY).filter(isRegionName);
  } catch {
    return [];
  }
}

/**
 * Cleans up in all of this user's named regions but some: removes those in which nobody is alive, and takes from the
 * others what only the dead held. Only locks decide: a process of another pid namespace is as alive as one of this.
 *
 * @param except names to pass over
 * @param thoroughly whether also where a living owner will do so
 */
export function sweepDirectory(except: ReadonlySet<string>, thoroughly: boolean): Reclaimed {
  let count = 0, bytes = 0;
  for (const name of regionNames()) {
    if (except.has(name)) continue;
    const found = sweepRegion(name, thoroughly);
    count += found.count;
    bytes += found.bytes;
  }
  return { count, bytes };
}

/** Bytes of named regions in which nobody is alive, and how many they are: what a sweep would remove. Changes nothing. */
export function findLeftOvers(): Reclaimed {
  let count = 0, bytes = 0;
  for (const name of regionNames()) {
    const file = openOrPass(name);
    if (file === undefined) continue;
    using descriptor = file.descriptor;
    try {
      if (isLockedElsewhere(descriptor.fd, 0, SLOTS) || isAnySent(copiedTables(file))) continue;
      bytes += statusOf(descriptor.fd).allocatedBytes;
      count++;
    } catch (error) {
      if (!(error instanceof SystemFailure)) throw error; // the system has no answer: it counts as living
    }
  }
  return { count, bytes };
}

function copiedTables({ descriptor: { fd }, layout }: RegionFile): RegionTables {
  const bytes = new Uint8Array(layout.dataOffset);
  bytes.set(readStart(fd, layout.dataOffset));
  return new RegionTables(layout, bytes.buffer);
}

/** A region's file; nothing where it is somebody else's, or gone meanwhile: not ours to clean. */
function openOrPass(name: string): RegionFile | undefined {
  try {
    return openFile(name);
  } catch {
    return undefined;
  }
}

function sweepRegion(name: string, thoroughly: boolean): Reclaimed {
  const file = openOrPass(name);
  if (file === undefined) return NOTHING;
  using descriptor = file.descriptor; // with it go its locks
  let mapping: SharedMapping | undefined;
  try {
    const { fd } = descriptor, { dataOffset } = file.layout;
    if (!thoroughly && isLockedElsewhere(fd, OWNER_SLOT)) return NOTHING;
    reserveBytes(fd, dataOffset); // whoever made the file may not have: then to look at it would end the process
    mapping = new SharedMapping(fd, 0, dataOffset, "shared");
    const tables = new RegionTables(file.layout, ffi.view(mapping.pointer, dataOffset));
    return sweepOpen(name, { fd, tables });
  } catch (error) {
    if (error instanceof SystemFailure) return NOTHING; // no memory to map it, or no more locks: the next sweep may
    throw error;
  } finally {
    mapping?.close();
  }
}

function sweepOpen(name: string, open: OpenTables): Reclaimed {
  if (tryLockBytes(open.fd, 0, SLOTS)) {
    const { allocatedBytes, links } = statusOf(open.fd);
    if (links === 0) return NOTHING;
    if (reclaimAll(open) === "in transit") return NOTHING;
    return unlinkShared(name) ? { count: 1, bytes: allocatedBytes } : NOTHING;
  }
  const reclaimed = reclaimBlocks(open, -1, isAbandoned(open), (index) => freeBlock(open, index));
  if (isSpent(open)) unlinkShared(name); // those who take part hold nothing in it
  return reclaimed;
}
