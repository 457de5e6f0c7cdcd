import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { ffi } from "../../ffi/mod.ts";
import { SharedMemoryRegion } from "../../mod.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Quota } from "../../src/memory/quota.ts";
import { Region } from "../../src/memory/region.ts";
import {
  BLOCK,
  BLOCK_BYTE_LENGTH,
  BLOCKS_OFFSET,
  CLOSED,
  RETURNED_OFFSET,
  SLOT_BYTE_LENGTH,
  SLOTS_OFFSET,
  STATE_OFFSET,
} from "../../src/memory/region_layout.ts";
import { nothingLeft } from "../support/left.ts";

const MIB = 1 << 20, OVERDUE = 1n << 63n, DEAD = 1n << 40n, ALL = 2n ** 64n - 1n;
/** Where a header has the region's id. */
const ID = 48;

/** An arena, and a peer that writes into its tables whatever it likes. */
class Attacked implements Disposable {
  readonly arena: Arena = new Arena("memfd", MIB);
  readonly quota: Quota = new Quota("all", Infinity);
  readonly peer: Region = Region.join(this.arena.region.name);
  readonly #tables: DataView = new DataView(ffi.view(this.peer.mapping.pointer, this.peer.layout.dataOffset));

  /** Says of a block that these hold it. */
  claim(index: number, holders: bigint): void {
    this.#tables.setBigUint64(BLOCKS_OFFSET + index * BLOCK_BYTE_LENGTH + BLOCK.holders, holders, true);
  }

  write(byteOffset: number, value: number): void {
    this.#tables.setUint32(byteOffset, value, true);
  }

  /** What the owner believes of its memory. */
  get books(): { readonly blocks: number; readonly freeBytes: number; readonly bytesInUse: number } {
    const { arena, quota } = this;
    return { blocks: arena.blocks, freeBytes: arena.freeBytes, bytesInUse: quota.bytesInUse };
  }

  /** All that an owner does to take memory back. */
  tend(): void {
    this.arena.region.tend(true);
    this.arena.collectAll();
  }

  [Symbol.dispose](): void {
    this.peer.close();
    this.arena.retire();
    this.arena.region.close(); // also after a test that failed half way
  }
}

afterEach(nothingLeft);

describe("an owner's books stay right when a peer says that", () => {
  for (const [who, holders] of [["a reference", OVERDUE], ["a dead participant", DEAD]] as const) {
    it(`${who} held a block that was never made`, () => {
      using attacked = new Attacked();
      attacked.peer.tables.use(40, { namespace: 1, pid: 1, startTime: 1 }, 3);
      attacked.claim(5, holders);
      attacked.tend();
      assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
    });

    it(`${who} held a block that was given back`, () => {
      using attacked = new Attacked();
      const { arena, quota, peer } = attacked, [a, b, c] = [64, 4096, 64].map((bytes) => arena.allocate(bytes, quota)!);
      b!.release();
      const books = attacked.books;
      peer.tables.use(40, { namespace: 1, pid: 1, startTime: 1 }, 3);
      attacked.claim(b!.index, holders);
      attacked.tend();
      assert.deepEqual(attacked.books, books);
      const [one, other] = [1, 2].map(() => arena.allocate(4096, quota)!);
      assert.notEqual(one!.byteOffset, other!.byteOffset);
      for (const block of [a, c, one, other]) block!.release();
      assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
    });
  }

  it("nobody holds a block that the owner itself holds", () => {
    using attacked = new Attacked();
    const { arena, quota, peer } = attacked, block = arena.allocate(4096, quota)!;
    attacked.claim(block.index, 0n);
    peer.tables.giveBack(block.index);
    attacked.tend();
    const other = arena.allocate(4096, quota)!;
    assert.notEqual(other.byteOffset, block.byteOffset);
    block.release();
    other.release();
    attacked.tend();
    assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
  });

  it("everybody holds a block", () => {
    using attacked = new Attacked();
    const { arena, quota } = attacked, block = arena.allocate(4096, quota)!;
    attacked.claim(block.index, ALL);
    block.release();
    attacked.claim(block.index, 0n);
    attacked.tend();
    assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
  });

  it("blocks in use were given back, in a circle", () => {
    using attacked = new Attacked();
    const { arena, quota } = attacked, blocks = [1, 2].map(() => arena.allocate(4096, quota)!);
    for (const [i, { index }] of blocks.entries()) {
      attacked.write(BLOCKS_OFFSET + index * BLOCK_BYTE_LENGTH + BLOCK.next, blocks[1 - i]!.index + 1);
    }
    attacked.write(RETURNED_OFFSET, blocks[0]!.index + 1);
    const books = attacked.books;
    attacked.tend();
    assert.deepEqual(attacked.books, books);
    for (const block of blocks) block.release();
    assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
  });

  it("the region is closed", () => {
    using attacked = new Attacked();
    const { arena, quota } = attacked, block = arena.allocate(4096, quota)!;
    attacked.write(STATE_OFFSET, CLOSED);
    block.release();
    arena.region.tend(true);
    assert.equal(arena.region.closed, false);
    const again = arena.allocate(4096, quota)!;
    new Uint8Array(ffi.view(arena.region.mapping.at(again.byteOffset), 1))[0] = 1;
    again.release();
  });

  it("a block lies somewhere else, and is longer than the region", () => {
    using attacked = new Attacked();
    const { arena, quota } = attacked, block = arena.allocate(4096, quota)!;
    for (const field of [BLOCK.byteOffset, BLOCK.byteLength]) {
      for (const half of [0, 4]) {
        attacked.write(BLOCKS_OFFSET + block.index * BLOCK_BYTE_LENGTH + field + half, 0xffffffff);
      }
    }
    block.release();
    attacked.tend();
    assert.deepEqual(attacked.books, { blocks: 0, freeBytes: MIB, bytesInUse: 0 });
  });
});

describe("a memfd that was passed here", () => {
  it("is not taken for another region whose names it bears", () => {
    using secret = SharedMemoryRegion.create(100, { backend: "memfd" });
    secret.bytes[0] = 7;
    const forged = Region.create("memfd", 100), real = Region.join(secret.name);
    const [to, from] = [forged, real].map(({ mapping, layout }) =>
      new Uint8Array(ffi.view(mapping.pointer, layout.dataOffset))
    );
    for (const [start, end] of [[ID, ID + 16], [SLOTS_OFFSET, SLOTS_OFFSET + SLOT_BYTE_LENGTH]] as const) {
      to!.set(from!.subarray(start, end), start);
    }
    let seen: number | undefined, code = "REGION";
    try {
      using opened = SharedMemoryRegion.openDescriptor(forged.fd);
      seen = opened.bytes[0];
    } catch (error) {
      code = (error as { code: string }).code;
    }
    real.close();
    forged.close();
    assert.notEqual(seen, 7);
    assert.match(code, /^REGION/);
  });
});
