/** Blocks are numbered below 2^20, and how often one was allocated is counted in 32 bits: both go into a safe integer. */
const COUNTS = 2 ** 32, HANDED_OFF = 2 ** 52;

/** One use of one block of a region. */
export interface BlockUse {
  /** Which block of the region. */
  readonly index: number;
  /** How often it was allocated by then, modulo 2^32. */
  readonly generation: number;
  /** Whether the reference that says so was handed off: whoever opens it ends its way. */
  readonly handedOff: boolean;
}

/** A use of a block as a reference's `generation`. */
export function packGeneration({ index, generation, handedOff }: BlockUse): number {
  return (handedOff ? HANDED_OFF : 0) + index * COUNTS + generation;
}

/** What a reference's `generation`, a safe integer from 0 up, says. */
export function unpackGeneration(packed: number): BlockUse {
  const use = packed % HANDED_OFF;
  return { index: Math.floor(use / COUNTS), generation: use % COUNTS, handedOff: packed >= HANDED_OFF };
}
