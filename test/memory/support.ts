import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { SHARED_DIRECTORY } from "../../src/memory/region_file.ts";
import { encodeHeader, layOut } from "../../src/memory/region_layout.ts";

/** The page size of shared memory here. */
export const PAGE = 4096;

/** A region's name that nothing has. */
export function freshName(): string {
  return `coload-${randomBytes(16).toString("hex")}`;
}

/** Where something of this name lies, or would. */
export function pathOf(name: string): string {
  return `${SHARED_DIRECTORY}/${name}`;
}

/** Whether a name of shared memory is taken. */
export function isThere(name: string): boolean {
  return existsSync(pathOf(name));
}

/** What a test puts at a region's name, which goes with it. */
export class Planted implements Disposable {
  readonly name: string;
  readonly path: string;

  /** @param plant puts something at a path */
  constructor(plant: (path: string) => void, name: string = freshName()) {
    this.name = name;
    this.path = pathOf(name);
    plant(this.path);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A file of these bytes that only this user may read. */
export function plant(bytes: Uint8Array): Planted {
  return new Planted((path) => writeFileSync(path, bytes, { mode: 0o600 }));
}

/** The bytes of a new region in which nothing was written. */
export function regionBytes(dataByteLength: number, blockCapacity = 0): Uint8Array<ArrayBuffer> {
  const layout = layOut(dataByteLength, blockCapacity), bytes = new Uint8Array(layout.byteLength);
  bytes.set(encodeHeader(layout));
  return bytes;
}

/** The bytes of a real region's file, one of whose fields was changed. */
export function changed(name: string, change: (header: DataView<ArrayBuffer>) => void): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(readFileSync(pathOf(name)));
  change(new DataView(bytes.buffer));
  return bytes;
}

/** A generator of pseudo-random whole numbers below a bound, the same for each seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => { // mulberry32
    let mixed = state = (state + 0x6d2b79f5) >>> 0;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * below);
  };
}
