import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WorkerError } from "../../src/errors.ts";
import {
  decodeJson,
  decodeTensors,
  encodeFrame,
  encodeJson,
  encodeTensors,
  FRAME,
  type Frame,
  FRAME_HEAD,
  FrameReader,
} from "../../src/protocol/frames.ts";
import { MOST_CONTROL_BYTES } from "../../src/protocol/limits.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { randomFrom } from "../memory/support.ts";
import { failure, floats } from "../support/sessions.ts";

const PROTOCOL = failure("WorkerError", "WORKER_PROTOCOL");

const tensors = {
  a: floats([1, 2, 3, 4], [2, 2]),
  "": Tensor.from(["köln", ""], [2], "string"),
  none: Tensor.zeros("int64", [3, 0]),
  scalar: Tensor.from([7], [], "bfloat16"),
};
const body = encodeTensors({ model: "add", options: { timeoutMs: 5 } }, tensors) as Uint8Array<ArrayBuffer>;
const sent: readonly Uint8Array<ArrayBuffer>[] = [
  encodeJson(FRAME.hello, 0, { protocol: 1, name: "köln" }),
  encodeFrame(FRAME.result, 2 ** 32 - 1, new Uint8Array(0)),
  encodeFrame(FRAME.infer, 7, body),
  encodeJson(FRAME.cancel, 0, { id: 7 }),
];
const stream = Uint8Array.from(sent.flatMap((frame) => [...frame]));

function framesOf(pieces: readonly Uint8Array[], reader: FrameReader = new FrameReader()): Frame[] {
  const frames: Frame[] = [];
  for (const piece of pieces) reader.push(piece, (frame) => frames.push(frame));
  return frames;
}

const expected = framesOf([stream]);

/** Whether it ends well, or is a mistake of the other end's. */
function isFine(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    assert.ok(error instanceof WorkerError && error.code === "WORKER_PROTOCOL", String(error));
    return false;
  }
}

describe("a stream of frames", () => {
  it("is put together as it was sent", () => {
    assert.deepEqual(expected.map(({ type, id }) => [type, id]), [[1, 0], [4, 2 ** 32 - 1], [6, 7], [8, 0]]);
    assert.deepEqual(expected.map(({ type, id, body }) => encodeFrame(type, id, body)), sent);
  });

  it("is the same wherever it is cut in two", () => {
    for (let at = 0; at <= stream.length; at++) {
      assert.deepEqual(framesOf([stream.subarray(0, at), stream.subarray(at)]), expected, `${at}`);
    }
  });

  it("is the same in pieces of any size", () => {
    for (const size of [1, 2, 3, 15, 16, 17, 63, 1000]) {
      const pieces = Array.from(
        { length: Math.ceil(stream.length / size) },
        (_, i) => stream.subarray(i * size, (i + 1) * size),
      );
      assert.deepEqual(framesOf(pieces), expected, `${size}`);
    }
  });

  it("is the same when one body comes in many pieces, and its room has to grow", () => {
    const large = Uint8Array.from({ length: 300_001 }, (_, i) => i), bytes = encodeFrame(FRAME.outputs, 1, large);
    const pieces = Array.from(
      { length: Math.ceil(bytes.length / 7777) },
      (_, i) => bytes.subarray(i * 7777, (i + 1) * 7777),
    );
    assert.deepEqual(framesOf(pieces)[0]!.body, large);
  });

  it("does not share the memory that it came in", () => {
    const piece = stream.slice(), [first] = framesOf([piece]);
    piece.fill(0);
    assert.deepEqual(first, expected[0]);
  });

  it("tells the frames before one that is wrong", () => {
    const frames: Frame[] = [], wrong = new Uint8Array(FRAME_HEAD);
    const push = (): void =>
      new FrameReader().push(Uint8Array.of(...sent[0]!, ...wrong), (frame) => frames.push(frame));
    assert.throws(push, PROTOCOL);
    assert.deepEqual(frames, [expected[0]]);
  });

  for (
    const [what, word, value] of [["magic", 0, 0], ["type", 1, 0], ["type", 1, 9], ["type", 1, 2 ** 32 - 1]] as const
  ) {
    it(`is refused with the ${what} ${value}`, () => {
      const bytes = sent[0]!.slice();
      new Uint32Array(bytes.buffer, 0, 4)[word] = value;
      assert.throws(() => framesOf([bytes]), PROTOCOL);
    });
  }

  it("is refused by the head alone where a frame is too long for what it is", () => {
    const head = (type: number, byteLength: number): Uint8Array => {
      const bytes = encodeFrame(type, 1, new Uint8Array(0));
      new Uint32Array(bytes.buffer)[3] = byteLength;
      return bytes;
    };
    assert.deepEqual(framesOf([head(FRAME.call, MOST_CONTROL_BYTES)]), []);
    assert.throws(() => framesOf([head(FRAME.call, MOST_CONTROL_BYTES + 1)]), PROTOCOL);
    assert.deepEqual(framesOf([head(FRAME.infer, 2 ** 28)]), []);
    assert.throws(() => framesOf([head(FRAME.infer, 2 ** 32 - 1)]), PROTOCOL);
    assert.throws(() => framesOf([head(FRAME.infer, 101)], new FrameReader(100)), PROTOCOL);
    assert.throws(() => framesOf([head(FRAME.call, 101)], new FrameReader(100)), PROTOCOL);
  });

  it("is read or refused, whatever is changed in it", () => {
    const random = randomFrom(3);
    let fine = 0;
    for (let i = 0; i < 10_000; i++) {
      const bytes = stream.slice(), at = random(bytes.length);
      for (let changes = random(4); changes >= 0; changes--) bytes[random(bytes.length)] = random(256);
      if (isFine(() => framesOf([bytes.subarray(0, at), bytes.subarray(at)]))) fine++;
    }
    assert.ok(fine > 0 && fine < 10_000, `${fine}`);
  });
});

describe("JSON in a frame", () => {
  it("is an object, in UTF-8", () => {
    assert.deepEqual(decodeJson(new TextEncoder().encode('{"a":["ü"]}')), { a: ["ü"] });
    for (const text of ["", "{", "null", "7", '"a"', "[]", '{"a":1}x']) {
      assert.throws(() => decodeJson(new TextEncoder().encode(text)), PROTOCOL, text);
    }
    assert.throws(() => decodeJson(Uint8Array.of(0x22, 0xff, 0x22)), PROTOCOL);
  });
});

describe("tensors in a frame", () => {
  it("are those that went in, with what was said of them", () => {
    const { about, tensors: found } = decodeTensors(body);
    assert.deepEqual(about, { model: "add", options: { timeoutMs: 5 }, names: Object.keys(tensors) });
    assert.deepEqual(Object.keys(found), Object.keys(tensors));
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      const tensor = found[name]!;
      assert.deepEqual([tensor.dtype, tensor.shape, tensor.data], [dtype, shape, data]);
    }
  });

  it("may be none", () => {
    const { about, tensors: found } = decodeTensors(encodeTensors({}, {}) as Uint8Array<ArrayBuffer>);
    assert.deepEqual([about, Object.keys(found)], [{ names: [] }, []]);
  });

  it("have names that mean nothing to the language", () => {
    const named = Object.fromEntries([["__proto__", floats([1])]]);
    const found = decodeTensors(encodeTensors({}, named) as Uint8Array<ArrayBuffer>);
    assert.deepEqual(Object.keys(found.tensors), ["__proto__"]);
  });

  it("are refused when they are cut short anywhere", () => {
    const end = body.length - 62; // what follows the last element is padding
    for (let length = 0; length < end; length++) {
      assert.ok(!isFine(() => decodeTensors(body.slice(0, length))), `${length}`);
    }
  });

  it("are refused without names, or with one twice", () => {
    for (const names of [undefined, 7, [7], ["a", "a"]]) {
      const text = new TextEncoder().encode(JSON.stringify({ names })), bytes = new Uint8Array(512);
      bytes.set(text, 4);
      new DataView(bytes.buffer).setUint32(0, text.length, true);
      bytes.set(encodeTensors({}, { a: floats([1]) }).subarray(64), 64);
      bytes.set(encodeTensors({}, { a: floats([1]) }).subarray(64), 192);
      assert.throws(() => decodeTensors(bytes), PROTOCOL, String(names));
    }
  });

  it("are read or refused, whatever is changed in them", () => {
    const random = randomFrom(4);
    let fine = 0;
    for (let i = 0; i < 10_000; i++) {
      const bytes = body.slice();
      for (let changes = random(4); changes >= 0; changes--) bytes[random(bytes.length)] = random(256);
      if (isFine(() => decodeTensors(bytes))) fine++;
    }
    assert.ok(fine > 0 && fine < 10_000, `${fine}`);
  });
});
