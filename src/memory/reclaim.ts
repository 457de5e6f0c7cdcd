import { punchHole } from "../../ffi/descriptors.ts";
import { isLockedElsewhere, tryLockBytes, unlockBytes } from "../../ffi/locks.ts";
import { PAGE, SLOTS } from "./region_layout.ts";
import { RegionTables } from "./region_tables.ts";

/** The participant that makes the blocks. */
export const OWNER_SLOT = 0;

/** What was taken back from the dead. */
export interface Reclaimed {
  /** Regions removed, and blocks that only the dead held. */
  readonly count: number;
  readonly bytes: number;
}

/** Nothing was left of the dead. */
export const NOTHING: Reclaimed = { count: 0, bytes: 0 };

/** A region's file and its tables, as seen by a participant or by somebody who only cleans up. */
export interface OpenTables {
  readonly fd: number;
  readonly tables: RegionTables;
}

/** Whether nobody makes blocks in a region any more: its owner closed it, or is dead. An owner asks only when it has closed it. */
export function isAbandoned({ fd, tables }: OpenTables): boolean {
  return tables.closed || !isLockedElsewhere(fd, OWNER_SLOT);
}

/**
 * Takes from the dead what they held, and from references on their way what they held too long.
 *
 * @param self the caller's own entry; -1 where it has none
 * @param abandoned whether nobody makes blocks there any more: then what nobody holds goes to the system
 * @param onFree is called for each block that nobody holds any more
 */
export function reclaimBlocks(
  open: OpenTables,
  self: number,
  abandoned: boolean,
  onFree: (index: number) => void,
): Reclaimed {
  const { fd, tables } = open, isNew = abandoned && tables.close(); // before anything is punched: the closed may have holes
  let count = 0, bytes = 0;
  const free = (index: number): void => {
    count++;
    bytes += tables.entry(index).byteLength;
    onFree(index);
  };
  const dead: number[] = [];
  for (let slot = 0; slot < SLOTS; slot++) {
    if (slot !== self && tables.isUsed(slot) && tryLockBytes(fd, slot)) dead.push(slot);
  }
  const bits = dead.reduce((all, slot) => all | RegionTables.bitOf(slot), 0n), now = Date.now();
  for (const index of tables.heldBlocks()) {
    if (bits !== 0n && tables.release(index, bits)) free(index);
    else if (tables.expire(index, now)) free(index);
  }
  for (const slot of dead) {
    tables.leave(slot);
    unlockBytes(fd, slot);
  }
  if (isNew) punchUnheld(open);
  return { count, bytes };
}

/** Gives back the memory of a region in which no block is made any more, but for the blocks that are held. */
export function punchUnheld({ fd, tables }: OpenTables): void {
  const { layout } = tables;
  if (layout.blockCapacity === 0) return; // one piece, which all hold who take part
  const held = [...tables.heldBlocks()].map((index) => tables.entry(index)).sort((a, b) => a.byteOffset - b.byteOffset);
  let from = layout.dataOffset;
  for (const { byteOffset, byteLength } of held) {
    punchPages(fd, from, Math.min(byteOffset, layout.byteLength));
    from = Math.max(from, byteOffset + byteLength);
  }
  punchPages(fd, from, layout.byteLength);
}

/** Whether nothing can be found in a region any more: nobody makes blocks there, and nobody holds one. */
export function isSpent(open: OpenTables): boolean {
  const { tables } = open;
  return tables.layout.blockCapacity > 0 && isAbandoned(open) && tables.heldBlocks().next().done === true;
}

/** Frees a block that nobody holds and the caller did not make: for its owner, or for the system where that is gone. */
export function freeBlock(open: OpenTables, index: number): void {
  if (!isAbandoned(open)) return open.tables.giveBack(index);
  open.tables.close(); // before there are holes
  punchBlock(open, index);
}

/** Gives back the memory of one block in a region in which no block is made any more, where it covers whole pages. */
function punchBlock({ fd, tables }: OpenTables, index: number): void {
  const { byteOffset, byteLength } = tables.entry(index), end = byteOffset + byteLength;
  if (byteOffset >= tables.layout.dataOffset && end <= tables.layout.byteLength) punchPages(fd, byteOffset, end);
}

function punchPages(fd: number, from: number, to: number): void {
  const start = Math.ceil(from / PAGE) * PAGE, end = Math.floor(to / PAGE) * PAGE;
  if (end > start) punchHole(fd, start, end - start);
}

/** Whether a reference into a region is on its way. */
export function isAnySent(tables: RegionTables): boolean {
  const now = Date.now();
  for (const index of tables.heldBlocks()) if (tables.isSent(index, now)) return true;
  return false;
}

/** What remains of a region whose participants are all dead. Its locks are the caller's. */
export type Remains = "in transit" | "nothing";

/** Takes from the dead of a region in which nobody is alive all they held. */
export function reclaimAll(open: OpenTables): Remains {
  const { layout } = open.tables;
  const now = Date.now();
  for (const index of open.tables.heldBlocks()) open.tables.expire(index, now);
  if (!isAnySent(open.tables)) return "nothing";
  for (let index = 0; index < layout.blockCapacity; index++) open.tables.releaseAllHolders(index);
  for (let slot = 0; slot < SLOTS; slot++) open.tables.leave(slot);
  open.tables.close();
  punchUnheld(open);
  return "in transit";
}
