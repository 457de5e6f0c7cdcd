/**
 * Where what lies in a shared memory region. `REGION.md` beside this file specifies it; all numbers are little-endian.
 *
 * @module
 */
import { NativeError } from "../errors.ts";

/** "COLOADSM" */
const MAGIC = 0x4d5344414f4c4f43n;
/** The only version there is. */
export const REGION_VERSION = 1;
/** Bytes of a page, which all parts start at. */
export const PAGE = 4096;
/** Bytes of the part that is written before the region has a name, and never again. */
export const HEADER_BYTE_LENGTH = 128;
/** Entries of the table of participants. The last bit of a holders' word belongs to none. */
export const SLOTS = 63;
/** Bytes of one participant's entry, and of one block's. */
export const SLOT_BYTE_LENGTH = 64, BLOCK_BYTE_LENGTH = 64;
/** Where the table of participants starts. */
export const SLOTS_OFFSET: number = PAGE;
/** Where the table of blocks starts. */
export const BLOCKS_OFFSET: number = 2 * PAGE;
/** Most blocks of one region: their number shares a reference's generation with a count of 32 bits. */
export const MAX_BLOCKS: number = 2 ** 20;
/** Alignment of every block, in bytes. */
export const BLOCK_ALIGNMENT = 64;

/** Byte offsets of what changes in the header. */
export const STATE_OFFSET = 128, MADE_OFFSET = 132, RETURNED_OFFSET = 192;
/** Values of a region's state: whether its owner may still make blocks. */
export const OPEN = 0, CLOSED = 1;

/** Byte offsets within a participant's entry. */
export const SLOT = { state: 0, pid: 4, startTime: 8, namespace: 16, fd: 24 } as const;
/** Byte offsets within a block's entry. */
export const BLOCK = { holders: 0, generation: 8, next: 12, byteOffset: 16, byteLength: 24, deadline: 32 } as const;

/** What a region's header says, copied and checked. */
export interface RegionLayout {
  /** 128 random bits, in hexadecimal. */
  readonly id: string;
  readonly byteLength: number;
  readonly blockCapacity: number;
  readonly dataOffset: number;
  readonly dataByteLength: number;
}

const toPages = (byteLength: number): number => Math.ceil(byteLength / PAGE) * PAGE;

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes before the data of a region with so many blocks. */
export function overhead(blockCapacity: number): number {
  return BLOCKS_OFFSET + toPages(blockCapacity * BLOCK_BYTE_LENGTH);
}

/** Lays a new region out. */
export function layOut(dataByteLength: number, blockCapacity: number): RegionLayout {
  const dataOffset = overhead(blockCapacity);
  return {
    id: hexadecimal(crypto.getRandomValues(new Uint8Array(16))),
    byteLength: dataOffset + Math.max(PAGE, toPages(dataByteLength)),
    blockCapacity,
    dataOffset,
    dataByteLength,
  };
}

/** The header's bytes. */
export function encodeHeader(layout: RegionLayout): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTE_LENGTH), view = new DataView(bytes.buffer);
  view.setBigUint64(0, MAGIC, true);
  view.setUint32(8, REGION_VERSION, true);
  view.setUint32(12, HEADER_BYTE_LENGTH, true);
  view.setBigUint64(16, BigInt(layout.byteLength), true);
  view.setBigUint64(24, BigInt(layout.dataOffset), true);
  view.setBigUint64(32, BigInt(layout.dataByteLength), true);
  view.setUint32(40, SLOTS, true);
  view.setUint32(44, layout.blockCapacity, true);
  for (let i = 0; i < 16; i++) bytes[48 + i] = parseInt(layout.id.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/**
 * Reads a copy of a header, which nobody can change meanwhile, and checks all it says against the size of the file.
 *
 * @throws {NativeError} REGION_INVALID
 */
export function decodeHeader(name: string, bytes: Uint8Array<ArrayBuffer>, fileByteLength: number): RegionLayout {
  const invalid = (why: string): NativeError => new NativeError("REGION_INVALID", `Cannot open region ${name}: ${why}`);
  if (bytes.length < HEADER_BYTE_LENGTH) {
    throw invalid(`a header of ${HEADER_BYTE_LENGTH} bytes wanted, a file of ${fileByteLength} bytes found`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const word = (at: number): bigint => view.getBigUint64(at, true), half = (at: number) => view.getUint32(at, true);
  if (word(0) !== MAGIC) throw invalid("it does not begin as a region of Coload does");
  if (half(8) !== REGION_VERSION) throw invalid(`version ${REGION_VERSION} wanted, version ${half(8)} found`);
  const blockCapacity = half(44), dataOffset = overhead(blockCapacity), dataByteLength = Number(word(32));
  if (half(12) !== HEADER_BYTE_LENGTH || half(40) !== SLOTS || blockCapacity > MAX_BLOCKS) {
    throw invalid(`its tables are of ${half(40)} participants and ${blockCapacity} blocks, as in no version 1`);
  }
  if (word(16) !== BigInt(fileByteLength)) {
    throw invalid(`its header says ${word(16)} bytes, and the file has ${fileByteLength}`);
  }
  const room = BigInt(fileByteLength) - BigInt(dataOffset);
  if (word(24) !== BigInt(dataOffset) || word(32) > room) {
    throw invalid(`its header says ${word(32)} bytes of data from ${word(24)} on, in a file of ${fileByteLength}`);
  }
  return {
    id: hexadecimal(bytes.subarray(48, 64)),
    byteLength: fileByteLength,
    blockCapacity,
    dataOffset,
    dataByteLength,
  };
}
