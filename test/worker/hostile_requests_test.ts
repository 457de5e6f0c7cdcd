import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PLACE, type TensorDescription } from "../../src/protocol/description.ts";
import { MOST_DESCRIPTION_BYTES } from "../../src/protocol/limits.ts";
import {
  ANSWER,
  FLAG,
  HEAP_OFFSET,
  LANE,
  LANE_BYTE_LENGTH,
  SLOT,
  SLOTS_OFFSET,
  slotWord,
} from "../../src/protocol/lane_layout.ts";
import { Attacker, type Change } from "./children/attacker.ts";
import type { ModelName } from "./children/models.ts";
import { requestOf } from "./children/raw_client.ts";
import { goodRequest } from "./children/requests.ts";

const BEYOND = 2 ** 53 - 64;

let attacker: Attacker;
before(async () => {
  attacker = await Attacker.start();
});
after(() => attacker[Symbol.asyncDispose]());

const [a, b] = goodRequest("add", 0).request.inputs as [TensorDescription, TensorDescription];
const [c] = goodRequest("add", 0).request.outputs as [TensorDescription];

describe("a request that is not what it should be is refused:", () => {
  it("none of these are", () => attacker.assertServed());

  const wrong: readonly (readonly [what: string, model: ModelName, change: Change, code: string])[] = [
    ["an input before the heap", "add", { input: { byteOffset: 0 } }, "OUT_OF_RANGE"],
    ["an input in the slots", "add", { input: { byteOffset: SLOTS_OFFSET } }, "OUT_OF_RANGE"],
    ["an input beyond the lane", "add", { input: { byteOffset: LANE_BYTE_LENGTH } }, "OUT_OF_RANGE"],
    [
      "an input that ends beyond the lane",
      "largest",
      { input: { byteOffset: LANE_BYTE_LENGTH - 64 } },
      "OUT_OF_RANGE",
    ],
    ["an input far away", "add", { input: { byteOffset: BEYOND } }, "OUT_OF_RANGE"],
    ["an input that is not aligned", "add", { input: { byteOffset: a.byteOffset + 4 } }, "OUT_OF_RANGE"],
    ["an input of more bytes", "add", { input: { byteLength: 20 } }, "INVALID_LENGTH"],
    ["an input of fewer bytes", "add", { input: { byteLength: 12 } }, "INVALID_LENGTH"],
    ["an input of so many bytes", "gather", { input: { byteLength: BEYOND } }, "INVALID_LENGTH"],
    ["an input of another shape", "add", { input: { shape: [2, 2] } }, "INVALID_SHAPE"],
    ["an input of a huge shape", "gather", { input: { shape: [2 ** 53 - 1] } }, "INVALID_LENGTH"],
    ["an input of another rank", "gather", { input: { shape: new Array(64).fill(1) } }, "INVALID_SHAPE"],
    ["an input of another dtype", "add", { input: { elementType: 7 } }, "INVALID_DTYPE"],
    ["an input of no dtype", "add", { input: { elementType: 255 } }, "INVALID_DTYPE"],
    ["an input that there is not", "add", { input: { port: 2 } }, "UNKNOWN_FEED"],
    ["an input far from those that there are", "add", { input: { port: 65_535 } }, "UNKNOWN_FEED"],
    ["an input twice", "add", { request: { inputs: [a, a] } }, "WORKER_PROTOCOL"],
    ["no input", "add", { request: { inputs: [] } }, "MISSING_FEED"],
    ["one input", "add", { request: { inputs: [b] } }, "MISSING_FEED"],
    ["an input at no place", "add", { input: { place: PLACE.none } }, "OUT_OF_RANGE"],
    ["an input at a place that there is not", "add", { input: { place: 99 } }, "OUT_OF_RANGE"],
    ["numbers where strings belong", "strings", { input: { place: PLACE.lane } }, "OUT_OF_RANGE"],
    ["strings that are none", "strings", { input: { byteOffset: requestOf(1) + 512 } }, "INVALID_BYTES"],
    ["strings of another shape", "strings", { input: { shape: [1] } }, "INVALID_SHAPE"],
    ["an output before the heap", "add", { output: { byteOffset: 0 } }, "OUT_OF_RANGE"],
    ["an output beyond the lane", "add", { output: { byteOffset: LANE_BYTE_LENGTH } }, "OUT_OF_RANGE"],
    ["an output with more room than there is", "add", { output: { byteLength: LANE_BYTE_LENGTH } }, "OUT_OF_RANGE"],
    ["an output that is not aligned", "add", { output: { byteOffset: c.byteOffset + 8 } }, "OUT_OF_RANGE"],
    ["an output that there is not", "add", { output: { port: 1 } }, "UNKNOWN_OUTPUT"],
    ["no output", "add", { request: { outputs: [] } }, "INVALID_ARGUMENT"],
    ["a state that the worker keeps", "sum", { request: { inputs: [a, b] } }, "UNKNOWN_FEED"],
    [
      "a sequence that was not started",
      "sum",
      { request: { sequence: { id: 99, start: false, end: true } } },
      "UNKNOWN_SEQUENCE",
    ],
    [
      "a sequence of a model without state",
      "add",
      { request: { sequence: { id: 1, start: true, end: true } } },
      "UNSUPPORTED",
    ],
    ["an unknown model", "add", { words: { model: 6 } }, "UNKNOWN_MODEL"],
    ["a model far from those that there are", "add", { words: { model: 2 ** 32 - 1 } }, "UNKNOWN_MODEL"],
    ["such a model, of one executor", "add", { words: { model: 2 ** 31, flags: FLAG.own } }, "UNKNOWN_MODEL"],
    ["a model as it was before", "add", { words: { revision: 2 ** 31 } }, "MODEL_CHANGED"],
    ["a description before the heap", "add", { words: { requestOffset: 64 } }, "WORKER_PROTOCOL"],
    ["a description beyond the lane", "add", { words: { requestOffset: LANE_BYTE_LENGTH } }, "WORKER_PROTOCOL"],
    ["a description far away", "add", { words: { requestOffset: 2 ** 32 - 64 } }, "WORKER_PROTOCOL"],
    ["a description that is not aligned", "add", { words: { requestOffset: requestOf(0) + 4 } }, "WORKER_PROTOCOL"],
    ["a description of no bytes", "add", { words: { requestByteLength: 0 } }, "WORKER_PROTOCOL"],
    ["a description of a part of it", "add", { words: { requestByteLength: 32 } }, "WORKER_PROTOCOL"],
    [
      "a description of too many bytes",
      "add",
      { words: { requestByteLength: MOST_DESCRIPTION_BYTES + 64 } },
      "WORKER_PROTOCOL",
    ],
    [
      "a description that ends in the middle",
      "add",
      { words: { requestByteLength: 2 ** 32 - 1 } },
      "WORKER_PROTOCOL",
    ],
    ["results that nobody kept", "add", { words: { flags: FLAG.collect } }, "WORKER_PROTOCOL"],
    [
      "results that nobody kept there",
      "add",
      { words: { flags: FLAG.collect | FLAG.own, executor: 2 ** 32 - 1 } },
      "WORKER_PROTOCOL",
    ],
    ["what was given up", "add", { words: { cancelled: -1 } }, "WORKER_TIMEOUT"],
    ["an answer that finds too little room", "add", { words: { answerCapacity: 0 } }, "UNREADABLE"],
    ["an answer that goes nowhere", "add", { words: { answerOffset: 2 ** 32 - 1 } }, "UNREADABLE"],
    ["an answer before the heap", "add", { words: { answerOffset: HEAP_OFFSET - 64 } }, "UNREADABLE"],
    ["an answer beyond the lane", "add", { words: { answerOffset: LANE_BYTE_LENGTH } }, "UNREADABLE"],
  ];
  for (const [what, model, change, code] of wrong) {
    it(what, () => {
      const words = change.words?.cancelled === -1
        ? { cancelled: attacker.client.words[slotWord(0) + SLOT.answered]! + 1 }
        : change.words;
      assert.deepEqual(attacker.run(model, { ...change, ...(words && { words }) }), { status: ANSWER.failed, code });
    });
  }

  it("and the worker serves on", () => attacker.assertServed());
});

describe("a request that is odd, but not wrong", () => {
  it("may have an output twice, or where an input is", () => {
    for (const outputs of [[c, c], [{ ...c, byteOffset: a.byteOffset }], [a]]) {
      const { status } = attacker.run("add", { request: { outputs } });
      assert.ok(status === ANSWER.done || status === ANSWER.failed);
    }
    attacker.assertServed();
  });

  it("may have no elements, whatever the other dimensions are", () => {
    assert.equal(attacker.run("gather", { input: { shape: [0], byteLength: 0 } }).status, ANSWER.done);
  });

  it("may have any sequence", () => {
    for (const sequence of [0, 1, 2 ** 31, 2 ** 32 - 4]) {
      attacker.client.words[slotWord(0) + SLOT.answered] = sequence;
      assert.equal(attacker.run("add", {}).status, ANSWER.done);
    }
  });

  it("is answered once, however often it is said to be there", () => {
    const good = goodRequest("add", 0);
    good.fill(attacker.client);
    attacker.client.write(0, good.request, { model: 0 });
    const sequence = attacker.client.submit(0);
    for (let i = 0; i < 1000; i++) {
      Atomics.or(attacker.client.words, LANE.pending, 1);
      attacker.client.ring();
    }
    assert.equal(attacker.client.wait(0, sequence).status, ANSWER.done);
    assert.ok(good.isRight(attacker.client));
    attacker.assertServed();
  });

  it("may be one that other clients have, or nobody", () => {
    for (let other = 0; other < 256; other++) attacker.client.ring(other);
    attacker.assertServed();
  });
});
