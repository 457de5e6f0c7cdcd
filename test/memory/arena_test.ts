import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { ffi } from "../../ffi/mod.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Arenas } from "../../src/memory/arenas.ts";
import type { HeldBlock } from "../../src/memory/holds.ts";
import { Quota } from "../../src/memory/quota.ts";
import { Region } from "../../src/memory/region.ts";
import type { Backend } from "../../src/memory/region_file.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { isThere } from "./support.ts";

const MIB = 1 << 20, BUDGET = failure("MemoryError", "MEMORY_BUDGET");
const STALE = failure("ReferenceError", "STALE_REFERENCE");

/** A quota without an end. */
function endless(): Quota {
  return new Quota("all", Infinity);
}

/** An arena that ends with its test. */
function arenaOf(backend: Backend, byteLength = MIB): Arena & Disposable {
  const arena = new Arena(backend, byteLength);
  return Object.assign(arena, { [Symbol.dispose]: () => arena.retire() });
}

/** The first byte of a block, by one participant's mapping. */
function byteOf({ mapping }: Region, { byteOffset }: HeldBlock): Uint8Array {
  return new Uint8Array(ffi.view(mapping.at(byteOffset), 1));
}

/** Arenas that end with their test. */
function arenasOf(options: ConstructorParameters<typeof Arenas>[0]): Arenas & Disposable {
  const arenas = new Arenas(options);
  return Object.assign(arenas, { [Symbol.dispose]: () => arenas.dispose() });
}

afterEach(nothingLeft);

for (const backend of ["named", "memfd"] as const) {
  describe(`a ${backend} Arena`, () => {
    it("hands the same bytes out again, in another generation", () => {
      using arena = arenaOf(backend);
      const quota = endless(), first = arena.allocate(1000, quota)!;
      byteOf(arena.region, first)[0] = 7;
      first.release();
      const second = arena.allocate(1000, quota)!;
      assert.deepEqual([second.byteOffset, second.index], [first.byteOffset, first.index]);
      assert.deepEqual([second.generation, byteOf(arena.region, second)[0]], [first.generation + 1, 7]);
      second.release();
    });

    it("counts what is taken, by quota, in cache lines", () => {
      using arena = arenaOf(backend);
      const all = endless(), one = new Quota("one", MIB, all), other = new Quota("other", MIB, all);
      const a = arena.allocate(1, one)!, b = arena.allocate(65, other)!;
      assert.deepEqual([one.bytesInUse, other.bytesInUse, all.bytesInUse, all.blocks], [64, 128, 192, 2]);
      assert.deepEqual([arena.isOf(a.index, one), arena.isOf(a.index, other)], [true, false]);
      assert.deepEqual([arena.blocks, arena.freeBytes], [2, MIB - 192]);
      a.release();
      b.release();
      assert.deepEqual([all.bytesInUse, all.blocks, arena.freeBytes, arena.largestFreeBytes], [0, 0, MIB, MIB]);
      assert.equal(arena.isOf(a.index, one), false);
    });

    it("says when there is no room", () => {
      using arena = arenaOf(backend);
      const quota = endless(), all = arena.allocate(MIB, quota)!;
      assert.equal(arena.allocate(1, quota), undefined);
      all.release();
      assert.equal(arena.allocate(MIB + 1, quota), undefined);
    });

    it("has room for as many blocks as its table has entries", () => {
      using arena = arenaOf(backend);
      const quota = endless(), blocks: HeldBlock[] = [];
      for (let block = arena.allocate(1, quota); block !== undefined; block = arena.allocate(1, quota)) {
        blocks.push(block);
      }
      assert.equal(blocks.length, arena.region.layout.blockCapacity - 1); // and the rest is one piece
      for (const block of blocks) block.release();
      assert.equal(arena.largestFreeBytes, MIB);
    });

    it("takes a block back that another participant held last", () => {
      using arena = arenaOf(backend);
      const quota = endless(), block = arena.allocate(1000, quota)!, peer = Region.join(arena.region.name);
      peer.hold(block.index, block.generation);
      block.release();
      assert.deepEqual([arena.blocks, quota.blocks], [1, 1]);
      peer.release(block.index);
      arena.collectReturned();
      assert.deepEqual([arena.blocks, quota.bytesInUse, arena.freeBytes], [0, 0, MIB]);
      peer.close();
    });

    it("takes back at its next use what others held last", () => {
      using arena = arenaOf(backend);
      const quota = endless(), all = arena.allocate(MIB, quota)!, peer = Region.join(arena.region.name);
      peer.hold(all.index, all.generation);
      all.release();
      peer.release(all.index);
      arena.allocate(MIB, quota)!.release();
      peer.close();
    });

    it("gives nobody a block that was freed, or made again since", () => {
      using arena = arenaOf(backend);
      const quota = endless(), block = arena.allocate(1000, quota)!, peer = Region.join(arena.region.name);
      block.release();
      assert.throws(() => peer.hold(block.index, block.generation), { ...STALE, message: /freed/ });
      const again = arena.allocate(1000, quota)!;
      assert.throws(() => peer.hold(block.index, block.generation), { ...STALE, message: /other use/ });
      assert.equal(peer.held, 0);
      again.release();
      assert.equal(arena.blocks, 0);
      peer.close();
    });

    it("is held twice by one participant as one", () => {
      using arena = arenaOf(backend);
      const block = arena.allocate(1000, endless())!;
      arena.region.hold(block.index, block.generation);
      block.release();
      assert.equal(arena.blocks, 1);
      block.release();
      assert.equal(arena.blocks, 0);
    });

    it("that is retired stays for who holds a block of it", () => {
      const arena = new Arena(backend, MIB), block = arena.allocate(1000, endless())!;
      const peer = Region.join(arena.region.name);
      peer.hold(block.index, block.generation);
      byteOf(arena.region, block)[0] = 7;
      block.release();
      arena.retire();
      assert.deepEqual([arena.region.closed, byteOf(peer, block)[0]], [true, 7]);
      peer.release(block.index);
      assert.ok(peer.closed && !isThere(peer.name)); // at once
    });

    it("that is retired while its own blocks are in use stays until the last of them goes", () => {
      const arena = new Arena(backend, MIB), quota = endless();
      const [a, b] = [arena.allocate(1, quota)!, arena.allocate(1, quota)!];
      arena.retire();
      a.release();
      assert.equal(arena.region.closed, false);
      b.release();
      assert.equal(arena.region.closed, true);
    });
  });
}

describe("Arenas", () => {
  it("make no arena before the first block, and more when there is no room", () => {
    using arenas = arenasOf({ maxBytes: Infinity, arenaBytes: MIB });
    const quota = endless();
    assert.deepEqual([arenas.all.length, arenas.backend], [0, undefined]);
    const blocks = [1, 2, 3].map(() => arenas.allocate(MIB, quota));
    assert.deepEqual([arenas.all.length, arenas.backend], [3, "named"]);
    for (const block of blocks) block.release();
  });

  it("make a larger arena for a larger block", () => {
    using arenas = arenasOf({ maxBytes: Infinity, arenaBytes: MIB });
    const block = arenas.allocate(3 * MIB + 1, endless());
    assert.equal(arenas.all[0]!.region.layout.dataByteLength, 3 * MIB + 4096);
    block.release();
  });

  it("use the first arena with room", () => {
    using arenas = arenasOf({ maxBytes: Infinity, arenaBytes: MIB });
    const quota = endless(), blocks = [1, 2].map(() => arenas.allocate(MIB, quota));
    for (const block of blocks) block.release();
    const block = arenas.allocate(1, quota);
    assert.equal(block.region, blocks[0]!.region);
    block.release();
  });

  it("refuse what a quota or the limit does not allow, and take it when there is room again", () => {
    using arenas = arenasOf({ maxBytes: 2 * MIB, arenaBytes: MIB });
    const all = new Quota("the allocator", 2 * MIB), part = new Quota("a part", MIB, all);
    const block = arenas.allocate(MIB, part);
    assert.throws(() => arenas.allocate(1, part), { ...BUDGET, message: /a part/, neededBytes: 64, availableBytes: 0 });
    const other = arenas.allocate(MIB, all);
    assert.throws(() => arenas.allocate(1, all), { ...BUDGET, message: /the allocator/ });
    block.release();
    arenas.allocate(MIB, part).release();
    other.release();
  });

  it("give up an empty arena where the limit leaves no room for a larger one", () => {
    using arenas = arenasOf({ maxBytes: 4 * MIB, arenaBytes: MIB });
    const quota = new Quota("all", 4 * MIB);
    arenas.allocate(MIB, quota).release();
    const block = arenas.allocate(4 * MIB, quota);
    assert.equal(arenas.all.length, 1);
    block.release();
  });

  it("say how large the largest free piece is where all together would be enough", () => {
    using arenas = arenasOf({ maxBytes: MIB, arenaBytes: MIB });
    const quota = new Quota("all", MIB), quarters = [1, 2, 3, 4].map(() => arenas.allocate(MIB / 4, quota));
    for (const i of [0, 2]) quarters[i]!.release();
    const fragmented = { ...BUDGET, message: /largest free piece/, neededBytes: MIB / 2, availableBytes: MIB / 4 };
    assert.throws(() => arenas.allocate(MIB / 2, quota), fragmented);
    for (const i of [1, 3]) quarters[i]!.release();
    arenas.allocate(MIB, quota).release();
  });

  it("hand out no memory of memory that is not there", () => {
    using arenas = arenasOf({ maxBytes: Infinity, arenaBytes: MIB });
    const quota = endless();
    assert.throws(() => arenas.allocate(2 ** 50, quota), failure("MemoryError", "OUT_OF_MEMORY"));
    assert.deepEqual([quota.bytesInUse, arenas.all.length], [0, 0]);
    arenas.allocate(1, quota).release();
  });
});

describe("Quota", () => {
  it("counts for its parents as well", () => {
    const all = new Quota("all", 1000), part = new Quota("part", 600, all), piece = new Quota("piece", 500, part);
    piece.add(400);
    assert.deepEqual([all, part, piece].map(({ bytesInUse, blocks }) => [bytesInUse, blocks]), Array(3).fill([400, 1]));
    assert.deepEqual([piece.allows(100), piece.allows(101), part.allows(200), part.allows(201)], [
      true,
      false,
      true,
      false,
    ]);
    piece.remove(400);
    assert.deepEqual([all.bytesInUse, all.blocks, part.bytesInUse], [0, 0, 0]);
  });

  it("tells whose limit it is", () => {
    const all = new Quota("all of it", 100), part = new Quota("a part", 1000, all);
    part.add(80);
    assert.throws(() => part.check(21), { ...BUDGET, message: /all of it/, neededBytes: 21, availableBytes: 20 });
    assert.throws(() => part.check(921), { ...BUDGET, message: /a part/, neededBytes: 921, availableBytes: 920 });
    part.check(20);
  });
});
