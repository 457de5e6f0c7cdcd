import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  BLOCK,
  BLOCK_BYTE_LENGTH,
  BLOCKS_OFFSET,
  layOut,
  RETURNED_OFFSET,
  SLOTS,
} from "../../src/memory/region_layout.ts";
import { RegionTables } from "../../src/memory/region_tables.ts";

const CAPACITY = 8, A = RegionTables.bitOf(0), B = RegionTables.bitOf(1), LAST = RegionTables.bitOf(SLOTS - 1);
const identity = { namespace: 4026531836, pid: 77, startTime: 2 ** 40 };

/** Tables in plain memory, and a way to change them behind their back. */
function tables(): { readonly tables: RegionTables; readonly view: DataView; readonly bytes: ArrayBuffer } {
  const layout = layOut(4096, CAPACITY), bytes = new ArrayBuffer(layout.dataOffset);
  return { tables: new RegionTables(layout, bytes), view: new DataView(bytes), bytes };
}

/** Where a field of a block lies. */
function at(index: number, field: number): number {
  return BLOCKS_OFFSET + index * BLOCK_BYTE_LENGTH + field;
}

/** What was given back, in order. No more than there are blocks, or it would not end. */
function returned(tables: RegionTables, take: (index: number) => void = () => {}): number[] {
  const found: number[] = [];
  tables.takeReturned((index) => {
    found.push(index);
    assert.ok(found.length <= CAPACITY, "it goes in a circle");
    take(index);
  });
  return found;
}

describe("a block of a region's tables", () => {
  it("is held by nobody at first, and cannot be held", () => {
    const { tables: t } = tables();
    assert.deepEqual([t.isHeld(0), t.hold(0, A), t.isHeld(0)], [false, false, false]);
    assert.deepEqual([...t.heldBlocks()], []);
  });

  it("is held by who makes it, and by who comes while it is", () => {
    const { tables: t } = tables();
    t.make(3, 4096, 128, A);
    assert.deepEqual([t.hold(3, B), t.hold(3, LAST), t.hold(3, LAST)], [true, true, true]);
    assert.deepEqual([...t.heldBlocks()], [3]);
  });

  it("is let go by the last of its holders, who alone is told", () => {
    const { tables: t } = tables();
    t.make(3, 4096, 128, A);
    t.hold(3, B);
    t.hold(3, LAST);
    assert.deepEqual([t.release(3, A), t.release(3, LAST), t.isHeld(3)], [false, false, true]);
    assert.deepEqual([t.release(3, B), t.isHeld(3), t.release(3, B)], [true, false, false]);
    assert.equal(t.hold(3, A), false);
  });

  it("is not let go by who does not hold it", () => {
    const { tables: t } = tables();
    t.make(3, 4096, 128, A);
    assert.deepEqual([t.release(3, B), t.isHeld(3)], [false, true]);
  });

  it("counts how often it was made", () => {
    const { tables: t } = tables();
    for (const generation of [1, 2, 3]) {
      assert.equal(t.make(3, 64 * generation, 128, A), generation);
      assert.deepEqual(t.entry(3), { generation, byteOffset: 64 * generation, byteLength: 128 });
      t.release(3, A);
    }
    assert.equal(t.make(4, 0, 64, A), 1);
  });

  it("counts from 2^32 - 1 on to 0", () => {
    const { tables: t, view } = tables();
    view.setUint32(at(3, BLOCK.generation), 2 ** 32 - 2, true);
    assert.deepEqual([t.make(3, 0, 64, A), t.make(3, 0, 64, A)], [2 ** 32 - 1, 0]);
  });

  it("has its fields where the layout says", () => {
    const { tables: t, view } = tables();
    t.make(7, 2 ** 40, 2 ** 33, LAST);
    assert.equal(view.getBigUint64(at(7, BLOCK.holders), true), 1n << 62n);
    assert.equal(view.getBigUint64(at(7, BLOCK.byteOffset), true), 2n ** 40n);
    assert.deepEqual(t.entry(7), { generation: 1, byteOffset: 2 ** 40, byteLength: 2 ** 33 });
  });
});

describe("a reference on its way", () => {
  it("holds a block until it is received by who holds it then", () => {
    const { tables: t } = tables();
    t.make(2, 0, 64, A);
    t.send(2, 1000);
    assert.deepEqual([t.release(2, A), t.isHeld(2), t.isSent(2, 999)], [false, true, true]);
    assert.ok(t.hold(2, B));
    t.receive(2);
    assert.deepEqual([t.isSent(2, 999), t.isHeld(2), t.release(2, B)], [false, true, true]);
  });

  it("is over at its time, and holds the block until somebody says so", () => {
    const { tables: t } = tables();
    t.make(2, 0, 64, A);
    t.send(2, 1000.2); // 1001
    t.release(2, A);
    assert.deepEqual([t.isSent(2, 1000), t.expire(2, 1000), t.isHeld(2)], [true, false, true]);
    assert.deepEqual([t.isSent(2, 1001), t.isHeld(2), t.expire(2, 1001), t.isHeld(2)], [false, true, true, false]);
    assert.equal(t.expire(2, 2000), false);
  });

  it("that is over is not the last holder where there are others", () => {
    const { tables: t } = tables();
    t.make(2, 0, 64, A);
    t.send(2, 1000);
    assert.deepEqual([t.expire(2, 1000), t.release(2, A)], [false, true]);
  });

  it("need not be received twice, nor where none is on its way", () => {
    const { tables: t } = tables();
    t.make(2, 0, 64, A);
    t.receive(2);
    t.send(2, 1000);
    t.receive(2);
    t.receive(2);
    assert.deepEqual([t.isHeld(2), t.release(2, A)], [true, true]);
  });

  it("that is sent again has the later time", () => {
    const { tables: t } = tables();
    t.make(2, 0, 64, A);
    t.send(2, 1000);
    t.send(2, 5000);
    assert.deepEqual([t.isSent(2, 4000), t.expire(2, 4000)], [true, false]);
  });

  it("stays when everybody else is taken away", () => {
    const { tables: t } = tables();
    for (const index of [1, 2]) {
      t.make(index, 0, 64, A);
      t.hold(index, LAST);
    }
    t.send(2, 1000);
    assert.deepEqual([t.releaseAllHolders(1), t.releaseAllHolders(2)], [true, false]);
    assert.deepEqual([...t.heldBlocks()], [2]);
    assert.ok(t.isSent(2, 0));
  });
});

describe("blocks that are given back", () => {
  it("are taken once each, the last first", () => {
    const { tables: t } = tables();
    assert.deepEqual([t.hasReturned, returned(t)], [false, []]);
    for (const index of [0, 5, 7]) t.giveBack(index);
    assert.equal(t.hasReturned, true);
    assert.deepEqual(returned(t), [7, 5, 0]);
    assert.deepEqual([t.hasReturned, returned(t)], [false, []]);
  });

  it("can be given back while others are taken", () => {
    const { tables: t } = tables();
    for (const index of [0, 5]) t.giveBack(index);
    const taken = returned(t, (index) => {
      if (index === 5) t.giveBack(6);
    });
    assert.deepEqual(taken, [5, 0]);
    assert.deepEqual(returned(t), [6]);
  });

  it("can be given back many times: the count beside the first link goes round", () => {
    const { tables: t, view } = tables();
    view.setUint32(RETURNED_OFFSET + 4, 2 ** 32 - 2, true);
    for (let i = 0; i < 5; i++) {
      t.giveBack(i);
      assert.deepEqual(returned(t), [i]);
    }
  });

  it("twice over lead in a circle, which ends", () => {
    const { tables: t } = tables();
    for (const index of [1, 2, 1]) t.giveBack(index);
    const found = returned(t);
    assert.deepEqual([found.slice(0, 3), new Set(found)], [[1, 2, 1], new Set([1, 2])]);
    assert.equal(t.hasReturned, false);
  });

  for (const [what, next] of [["itself", 4], ["one before it", 6], ["one behind it", 2]] as const) {
    it(`end also where a link leads to ${what} in the table`, () => {
      const { tables: t, view } = tables();
      for (const index of [1, 3, 5]) t.giveBack(index); // 5, 3, 1
      view.setUint32(at(3, BLOCK.next), next, true); // links are one more than the block's number
      if (next === 2) view.setUint32(at(1, BLOCK.next), 6, true);
      assert.ok(returned(t).length >= 2);
      assert.equal(t.hasReturned, false);
    });
  }

  for (const next of [CAPACITY + 1, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
    it(`end where a link is ${next}, which leads out of the table`, () => {
      const { tables: t, view } = tables();
      for (const index of [1, 3]) t.giveBack(index);
      view.setUint32(at(3, BLOCK.next), next, true);
      assert.deepEqual(returned(t), [3]);
      view.setUint32(RETURNED_OFFSET, next, true);
      assert.deepEqual([returned(t), t.hasReturned], [[], false]);
    });
  }

  it("may be the last of the table", () => {
    const { tables: t } = tables();
    t.giveBack(CAPACITY - 1);
    assert.deepEqual(returned(t), [CAPACITY - 1]);
  });
});

describe("a participant of a region's tables", () => {
  it("is known as long as it takes part", () => {
    const { tables: t } = tables();
    assert.equal(t.isUsed(5), false);
    t.use(5, identity, 12);
    assert.deepEqual([t.isUsed(5), t.isUsed(4), t.isUsed(6)], [true, false, false]);
    assert.deepEqual(t.participant(5), { identity, fd: 12 });
    t.leave(5);
    assert.equal(t.isUsed(5), false);
  });

  it("may be the last, which is none of the blocks'", () => {
    const { tables: t } = tables();
    t.use(SLOTS - 1, identity, 1);
    assert.deepEqual([t.isUsed(SLOTS - 1), t.isUsed(0), [...t.heldBlocks()]], [true, false, []]);
  });
});

describe("a region's tables", () => {
  it("are closed once", () => {
    const { tables: t } = tables();
    assert.deepEqual([t.closed, t.close(), t.closed, t.close()], [false, true, true, false]);
  });

  it("fail after they are detached, and read nothing else", () => {
    const { tables: t, bytes } = tables();
    t.make(1, 0, 64, A);
    t.detach();
    assert.equal(bytes.byteLength, 0);
    assert.throws(() => t.isHeld(1), /RangeError|TypeError/);
    assert.throws(() => t.giveBack(1), /RangeError|TypeError/);
  });
});
