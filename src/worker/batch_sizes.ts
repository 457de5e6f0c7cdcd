/** Sizes that are counted each by itself. */
const EXACT = 64;
const OCTAVES = 10;

/** How many counts there are of sizes: of 1 to 64 each, then of up to 128, 256, and so on; of all others the last. */
export const BATCH_SIZES: number = EXACT + OCTAVES;

/** Which count a size of a batch, in rows, belongs to. */
export function batchSizeIndex(rows: number): number {
  if (rows <= EXACT) return rows < 1 ? 0 : rows - 1;
  return Math.min(BATCH_SIZES - 1, EXACT + 25 - Math.clz32(Math.min(rows, 2 ** 31) - 1)); // 65 to 128 have 25 zeros before
}

/** The largest size that a count is of; of the last, what would be if it ended. */
export function batchSizeOf(index: number): number {
  return index < EXACT ? index + 1 : EXACT * 2 ** (index - EXACT + 1);
}
