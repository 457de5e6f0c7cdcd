import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  answerByteLength,
  HEAD_BYTE_LENGTH,
  MalformedDescription,
  PLACE,
  readAnswer,
  readRequest,
  requestByteLength,
  type RequestDescription,
  TENSOR_BYTE_LENGTH,
  writeAnswer,
  writeRequest,
} from "../../src/protocol/description.ts";
import { MAX_RANK } from "../../src/protocol/limits.ts";
import { randomFrom } from "../memory/support.ts";

const REGION = `coload-${"0123456789abcdef".repeat(2)}`;

const plain = { port: 3, elementType: 1, shape: [2, 0, 5], place: PLACE.lane, byteOffset: 20_480, byteLength: 64 };
const scalar = { port: 65_535, elementType: 16, shape: [], place: PLACE.none, byteOffset: 0, byteLength: 2 ** 53 - 1 };
const shared = { ...plain, port: 0, place: PLACE.region, region: REGION, generation: 2 ** 52 + 7 };
const request: RequestDescription = {
  inputs: [plain, shared],
  outputs: [scalar, { ...plain, shape: new Array(MAX_RANK).fill(2 ** 53 - 1) }, shared],
  sequence: { id: 2 ** 40 + 1, start: true, end: false },
};

function bytesOf(described: RequestDescription): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(requestByteLength(described)).fill(0xaa);
  writeRequest(bytes, described);
  return bytes;
}

/** Whether bytes are read, or refused as they should be. */
function isRead(bytes: Uint8Array): boolean {
  try {
    readRequest(bytes);
    return true;
  } catch (error) {
    assert.ok(error instanceof MalformedDescription, String(error));
    return false;
  }
}

describe("a request's description", () => {
  it("is read as it was written", () => {
    assert.deepEqual(readRequest(bytesOf(request)), request);
    const { sequence: _, ...without } = request;
    assert.deepEqual(readRequest(bytesOf(without)), without);
  });

  it("is read as it was written, of nothing", () => {
    assert.deepEqual(readRequest(bytesOf({ inputs: [], outputs: [] })), { inputs: [], outputs: [] });
  });

  it("is read from the middle of a buffer", () => {
    const bytes = bytesOf(request), all = new Uint8Array(bytes.length + 20);
    all.set(bytes, 9);
    assert.deepEqual(readRequest(all.subarray(9, 9 + bytes.length)), request);
  });

  it("says each of the ends of a sequence", () => {
    for (const start of [true, false]) {
      for (const end of [true, false]) {
        const sequence = { id: 1, start, end };
        assert.deepEqual(readRequest(bytesOf({ inputs: [], outputs: [], sequence })).sequence, sequence);
      }
    }
  });

  it("leaves nothing of what lay there before", () => {
    const bytes = bytesOf({ inputs: [shared], outputs: [] }), named = bytes.indexOf(0xaa);
    assert.equal(named, -1);
  });

  it("is refused when it is cut short anywhere, or goes on", () => {
    const bytes = bytesOf(request);
    for (let length = 0; length < bytes.length; length++) assert.ok(!isRead(bytes.subarray(0, length)), `${length}`);
    assert.ok(!isRead(Uint8Array.of(...bytes, 0)));
  });

  it("is refused with too many dimensions, too long a name, and numbers above 2^53", () => {
    const bytes = bytesOf({ inputs: [shared], outputs: [] });
    for (const [at, value] of [[3, MAX_RANK + 1], [3, 255], [5, 96], [5, 255]] as const) {
      assert.ok(!isRead(bytes.with(HEAD_BYTE_LENGTH + at, value)), `${value} at ${at}`);
    }
    for (const at of [8, 16, 24, TENSOR_BYTE_LENGTH]) { // of the region, its generation too
      assert.ok(!isRead(bytes.with(HEAD_BYTE_LENGTH + at + 6, 0x20)), `2^53 at ${at}`);
    }
    assert.ok(!isRead(bytes.with(15, 1)), "the sequence");
  });

  it("is refused before anything is made of a count that is not true", () => {
    for (const at of [0, 2]) {
      const bytes = bytesOf(request);
      new DataView(bytes.buffer).setUint16(at, 65_535, true);
      assert.ok(!isRead(bytes));
    }
  });

  it("is read or refused, whatever is changed in it", () => {
    const random = randomFrom(1), good = bytesOf(request);
    let read = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = good.slice();
      for (let changes = random(4); changes >= 0; changes--) bytes[random(bytes.length)] = random(256);
      if (isRead(bytes)) read++;
    }
    assert.ok(read > 0 && read < 20_000, `${read}`);
  });

  it("is read or refused, whatever the bytes", () => {
    const random = randomFrom(2);
    for (let i = 0; i < 20_000; i++) isRead(Uint8Array.from({ length: random(300) }, () => random(256)));
  });
});

describe("an answer's description", () => {
  it("is read as it was written", () => {
    const outputs = [plain, shared, scalar], bytes = new Uint8Array(answerByteLength(outputs));
    writeAnswer(bytes, outputs);
    assert.deepEqual(readAnswer(bytes), outputs);
  });
});
