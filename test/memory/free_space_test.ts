import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FreeSpace } from "../../src/memory/free_space.ts";
import { randomFrom } from "./support.ts";

const UNIT = 64, FIRST = 4096;

/** Where the bytes of a taken block begin and end. */
function rangeOf(space: FreeSpace, block: number): [number, number] {
  return [space.byteOffset(block), space.byteOffset(block) + space.byteLength(block)];
}

/** Takes blocks of a size until there is no room. */
function fill(space: FreeSpace, byteLength: number): number[] {
  const blocks: number[] = [];
  for (let block = space.take(byteLength); block !== undefined; block = space.take(byteLength)) blocks.push(block);
  return blocks;
}

describe("FreeSpace", () => {
  it("is one free piece at first, of whole units", () => {
    const space = new FreeSpace(FIRST, 10 * UNIT + 63, 16);
    assert.deepEqual([space.freeBytes, space.largestFreeBytes, space.taken], [10 * UNIT, 10 * UNIT, 0]);
    assert.deepEqual([...space.takenBlocks()], []);
  });

  for (const [byteLength, taken] of [[0, 64], [1, 64], [64, 64], [65, 128], [1000, 1024], [4096, 4096]] as const) {
    it(`takes ${taken} bytes for ${byteLength}, at a multiple of 64`, () => {
      const space = new FreeSpace(FIRST, 1 << 20, 16);
      space.take(1);
      const block = space.take(byteLength)!;
      assert.equal(FreeSpace.rounded(byteLength), taken);
      assert.deepEqual([space.byteLength(block), space.byteOffset(block) % UNIT], [taken, 0]);
      assert.equal(space.freeBytes, (1 << 20) - UNIT - taken);
    });
  }

  it("tells which blocks are taken", () => {
    const space = new FreeSpace(FIRST, 10 * UNIT, 16), [a, b, c] = [1, 1, 1].map((bytes) => space.take(bytes)!);
    space.give(b!);
    assert.deepEqual([...space.takenBlocks()].sort(), [a!, c!].sort());
    assert.deepEqual([a!, b!, c!, -1, 99].map((block) => space.isTaken(block)), [true, false, true, false, false]);
    assert.equal(space.taken, 2);
  });

  it("takes again what was given back last, of the same size", () => {
    const space = new FreeSpace(FIRST, 1 << 20, 64), blocks = Array.from({ length: 8 }, () => space.take(1000)!);
    const offsets = [1, 5, 3].map((i) => space.byteOffset(blocks[i]!)); // no two are neighbours
    for (const i of [1, 5, 3]) space.give(blocks[i]!);
    const again = [0, 1, 2].map(() => space.byteOffset(space.take(1000)!));
    assert.deepEqual(again, offsets.reverse());
  });

  it("takes the same bytes again and again", () => {
    const space = new FreeSpace(FIRST, 1 << 20, 64);
    space.take(1);
    const offsets = Array.from({ length: 100 }, () => {
      const block = space.take(5000)!;
      space.give(block);
      return space.byteOffset(block);
    });
    assert.equal(new Set(offsets).size, 1);
  });

  it("fills to its last byte, refuses then, and goes on after one was given back", () => {
    const space = new FreeSpace(FIRST, 100 * UNIT, 200), blocks = fill(space, UNIT);
    assert.deepEqual([blocks.length, space.freeBytes, space.largestFreeBytes], [100, 0, 0]);
    assert.equal(space.take(0), undefined);
    space.give(blocks[50]!);
    assert.equal(space.take(UNIT + 1), undefined);
    assert.equal(space.byteOffset(space.take(UNIT)!), FIRST + 50 * UNIT);
  });

  it("takes all of itself as one block, and no byte more", () => {
    const space = new FreeSpace(FIRST, 1 << 20, 4);
    assert.equal(space.take((1 << 20) + 1), undefined);
    const block = space.take(1 << 20)!;
    assert.deepEqual(rangeOf(space, block), [FIRST, FIRST + (1 << 20)]);
    space.give(block);
    assert.equal(space.largestFreeBytes, 1 << 20);
  });

  it("has nothing where it has less than a unit", () => {
    assert.equal(new FreeSpace(FIRST, UNIT - 1, 4).take(1), undefined);
    assert.equal(new FreeSpace(FIRST, 0, 4).freeBytes, 0);
  });

  for (const order of ["forwards", "backwards", "inside out", "every second"]) {
    it(`joins neighbours that are given back ${order} to one piece`, () => {
      const space = new FreeSpace(FIRST, 1 << 16, 2000), blocks = fill(space, 100);
      const turns = blocks.map((block, i) => ({
        block,
        turn: { i, j: blocks.length - i, m: Math.abs(i - 256), p: i % 2 },
      }));
      const by = { "forwards": "i", "backwards": "j", "inside out": "m", "every second": "p" }[order] as "i";
      for (const { block } of turns.sort((a, b) => a.turn[by] - b.turn[by])) space.give(block);
      assert.deepEqual([space.freeBytes, space.largestFreeBytes, space.taken], [1 << 16, 1 << 16, 0]);
    });
  }

  it("finds room for what two neighbours had", () => {
    const space = new FreeSpace(FIRST, 8 * UNIT, 16), blocks = fill(space, 2 * UNIT);
    space.give(blocks[1]!);
    assert.equal(space.take(4 * UNIT), undefined);
    space.give(blocks[2]!);
    assert.equal(space.byteOffset(space.take(4 * UNIT)!), FIRST + 2 * UNIT);
  });

  it("finds the one piece that is large enough, behind many that are a little too small", () => {
    const space = new FreeSpace(FIRST, 1 << 24, 4096), small = 1024 * UNIT, gaps: number[] = [];
    const fitting = space.take(small + 10 * UNIT)!;
    space.take(UNIT);
    for (let i = 0; i < 40; i++) {
      gaps.push(space.take(small + UNIT * (i % 5))!); // of the same list
      space.take(UNIT);
    }
    fill(space, UNIT * 1000);
    fill(space, UNIT);
    space.give(fitting);
    for (const gap of gaps) space.give(gap);
    assert.equal(space.take(small + 10 * UNIT), fitting);
    assert.equal(space.take(small + 10 * UNIT), undefined);
  });

  it("takes no more blocks than it has numbers for, and never twice the same", () => {
    const space = new FreeSpace(FIRST, 1 << 20, 8), blocks = fill(space, UNIT);
    assert.equal(new Set(blocks).size, blocks.length);
    assert.ok(blocks.length >= 7 && blocks.every((block) => block < 8));
    for (const block of blocks) space.give(block);
    assert.equal(space.largestFreeBytes, 1 << 20);
    assert.equal(fill(space, UNIT).length, blocks.length);
  });

  it("wastes no more than a block has where it is out of numbers", () => {
    const space = new FreeSpace(FIRST, 4 * UNIT, 1);
    assert.equal(space.take(UNIT), undefined);
    const block = space.take(3 * UNIT)!;
    assert.deepEqual([space.byteLength(block), space.freeBytes], [4 * UNIT, 0]);
    space.give(block);
    assert.equal(space.freeBytes, 4 * UNIT);
  });

  for (
    const [size, most, capacity] of [[1 << 20, 8192, 4096], [1 << 22, 300_000, 4096], [1 << 18, 1000, 64]] as const
  ) {
    it(`keeps blocks of up to ${most} bytes apart, in ${size} bytes with ${capacity} numbers`, () => {
      const space = new FreeSpace(FIRST, size, capacity), random = randomFrom(size + capacity);
      const model = new Model(size), blocks: number[] = [];
      for (let turn = 0; turn < 17_000; turn++) {
        const filling = turn % 2000 < 1000; // tides, so that it gets full and empty
        if (blocks.length > 0 && random(10) >= (filling ? 7 : 3)) {
          const block = blocks.splice(random(blocks.length), 1)[0]!;
          model.give(space.byteOffset(block));
          space.give(block);
        } else {
          const wanted = random(random(4) === 0 ? most : most / 8), block = space.take(wanted);
          if (block === undefined) {
            assert.ok(
              model.largest() < FreeSpace.rounded(wanted) || blocks.length > capacity / 3,
            );
          } else {
            assert.ok(space.byteLength(block) >= wanted);
            model.take(...rangeOf(space, block));
            blocks.push(block);
          }
        }
        assert.deepEqual([space.freeBytes, space.taken], [model.freeBytes, blocks.length]);
        if (turn % 100 === 0) assert.equal(space.largestFreeBytes, model.largest());
      }
      for (const block of blocks) space.give(block);
      assert.deepEqual([space.freeBytes, space.largestFreeBytes, space.taken], [size, size, 0]);
    });
  }
});

/** What is taken, as a list in order: slow and plain. */
class Model {
  readonly #size: number;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  freeBytes: number;

  constructor(size: number) {
    this.#size = this.freeBytes = size;
  }

  #place(start: number): number {
    let low = 0, high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  take(start: number, end: number): void {
    const at = this.#place(start);
    assert.ok(start % UNIT === 0 && start >= FIRST && end <= FIRST + this.#size && end > start);
    assert.ok(at === 0 || this.#ends[at - 1]! <= start, "it overlaps the block before it");
    assert.ok(at === this.#starts.length || end <= this.#starts[at]!, "it overlaps the block behind it");
    this.#starts.splice(at, 0, start);
    this.#ends.splice(at, 0, end);
    this.freeBytes -= end - start;
  }

  give(start: number): void {
    const at = this.#place(start);
    assert.equal(this.#starts[at], start);
    this.freeBytes += this.#ends[at]! - start;
    this.#starts.splice(at, 1);
    this.#ends.splice(at, 1);
  }

  largest(): number {
    const gaps = [...this.#starts, FIRST + this.#size].map((start, i) => start - (this.#ends[i - 1] ?? FIRST));
    return Math.max(...gaps);
  }
}
