import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BySlot } from "../../src/protocol/by_slot.ts";
import { SLOTS } from "../../src/protocol/lane_layout.ts";

describe("what there is by slot", () => {
  const found = <T>(slots: BySlot<T>): [number, T][] => {
    const all: [number, T][] = [];
    slots.forEach((value, slot) => all.push([slot, value]));
    return all;
  };

  it("is there until it is taken away", () => {
    const slots = new BySlot<string>();
    slots.set(SLOTS - 1, "last");
    slots.set(0, "first");
    slots.set(0, "other");
    assert.deepEqual([found(slots), slots.size], [[[0, "other"], [SLOTS - 1, "last"]], 2]);
    slots.delete(0);
    slots.delete(0);
    assert.deepEqual([found(slots), slots.size], [[[SLOTS - 1, "last"]], 1]);
    slots.clear();
    assert.deepEqual([found(slots), slots.size], [[], 0]);
  });

  it("may be taken away, and given, by what is called for it", () => {
    const slots = new BySlot<string>(), seen: string[] = [];
    for (const slot of [1, 2, 3]) slots.set(slot, `${slot}`);
    slots.forEach((value, slot) => {
      seen.push(value);
      slots.delete(slot);
      if (slot === 1) slots.delete(2);
      if (slot === 3) slots.set(0, "new");
    });
    assert.deepEqual([seen, slots.size], [["1", "3"], 1]);
  });
});
