import { statusOf, unlinkShared } from "../../ffi/descriptors.ts";
import { tryLockBytes, unlockBytes } from "../../ffi/locks.ts";
import { processIdentity } from "../../ffi/process_identity.ts";
import { NativeError } from "../errors.ts";
import { freeBlock, isSpent, type OpenTables, OWNER_SLOT, reclaimAll } from "./reclaim.ts";
import type { RegionFile } from "./region_file.ts";
import { SLOTS } from "./region_layout.ts";
import { RegionTables } from "./region_tables.ts";

/** How long somebody who cleans up may hold all of a region's locks, at most, free ones too: microseconds as a rule. */
const CLEANING_MS = 2000;

/** Takes the name of a region away that nobody can find anything in any more. The caller takes part no more. */
export function unlinkIfUnused(name: string, open: OpenTables): void {
  if (tryLockBytes(open.fd, 0, SLOTS)) { // the last one: nobody else is alive
    if (reclaimAll(open) === "nothing") unlinkShared(name);
    unlockBytes(open.fd, 0, SLOTS); // who waits for a slot sees at once that it is gone
  } else if (isSpent(open)) {
    unlinkShared(name);
  }
}

/** Takes an entry among a region's participants. @throws {NativeError} REGION_FULL; REGION_NOT_FOUND */
export function takeSlot(
  name: string,
  { descriptor: { fd }, backend, layout }: RegionFile,
  tables: RegionTables,
): number {
  const start = performance.now(), gone = () => backend === "named" && statusOf(fd).links === 0;
  if (!tables.closed && statusOf(fd).allocatedBytes < layout.byteLength) {
    throw new NativeError("REGION_INVALID", `Cannot open region ${name}: not all of its memory is reserved`);
  }
  for (;;) {
    for (let slot = OWNER_SLOT + 1; slot < SLOTS; slot++) {
      if (!tryLockBytes(fd, slot)) continue;
      if (gone()) throw new NativeError("REGION_NOT_FOUND", `Cannot open region ${name}: it is gone`);
      if (tables.isUsed(slot)) reclaimSlot({ fd, tables }, slot);
      tables.use(slot, processIdentity(), fd);
      return slot;
    }
    if (gone()) throw new NativeError("REGION_NOT_FOUND", `Cannot open region ${name}: it is gone`);
    if (!isAnyUnused(tables) || performance.now() - start > CLEANING_MS) {
      const most = SLOTS - 1,
        message = `Cannot open region ${name}: ${most} threads take part in it, and it takes no more`;
      throw new NativeError("REGION_FULL", message);
    }
  }
}

/** Whether not all are taken: then it is not for want of slots that none can be locked. */
function isAnyUnused(tables: RegionTables): boolean {
  for (let slot = OWNER_SLOT + 1; slot < SLOTS; slot++) if (!tables.isUsed(slot)) return true;
  return false;
}

function reclaimSlot(open: OpenTables, slot: number): void {
  const bit = RegionTables.bitOf(slot);
  for (const index of open.tables.heldBlocks()) if (open.tables.release(index, bit)) freeBlock(open, index);
}
