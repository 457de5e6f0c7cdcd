/** Numbers that look random, and are the same at every run. */

/** Numbers from 0 up to 1, of which no two seeds have the same (xorshift). */
export function randomNumbers(seed: number): () => number {
  let state = seed * 2654435761 >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A size between two, of which each power of two is as likely as any other: most are small. */
export function skewedSize(random: () => number, least: number, most: number): number {
  return Math.round(least * (most / least) ** random());
}

/** Takes some element out of an array, which loses its order. */
export function takeRandom<T>(from: T[], random: () => number): T {
  const at = Math.floor(random() * from.length), last = from.pop()!;
  if (at === from.length) return last;
  const taken = from[at]!;
  from[at] = last;
  return taken;
}
