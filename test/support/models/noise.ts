import { writeSync } from "node:fs";

const CHUNK_FLOATS = 4 * 2 ** 20;
const PAGE_FLOATS = 1024;

/** 16 MiB of float32 noise, evenly spread with standard deviation `deviation`; always the same. */
export function noiseChunk(deviation: number): Float32Array<ArrayBuffer> {
  const limit = deviation * Math.sqrt(3);
  const values = new Float32Array(CHUNK_FLOATS);
  let seed = 1;
  for (let index = 0; index < values.length; index++) {
    // The linear congruential generator of Numerical Recipes.
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    values[index] = limit * (seed / 2 ** 31 - 1);
  }
  return values;
}

/**
 * Writes `byteLength` bytes of a chunk, again and again, to an open file from `position`. One value in each page is
 * replaced by one that depends on the position, so that no two pages are alike and nothing can merge them.
 */
export function writeNoise(file: number, chunk: Float32Array<ArrayBuffer>, position: number, byteLength: number): void {
  const bytes = new Uint8Array(chunk.buffer);
  for (let done = 0; done < byteLength; done += bytes.length) {
    const wanted = Math.min(bytes.length, byteLength - done);
    for (let index = 0; 4 * index < wanted; index += PAGE_FLOATS) {
      chunk[index] = ((position + done) / 4 + index) / PAGE_FLOATS / 2 ** 24;
    }
    writeAll(file, bytes.subarray(0, wanted), position + done);
  }
}

/** Writes all of `bytes` at `position`, in as many calls as the system wants. */
export function writeAll(file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(file, bytes, done, bytes.length - done, position + done);
  }
}
