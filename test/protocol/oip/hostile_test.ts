import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WorkerError } from "../../../src/errors.ts";
import { decodeInferRequest, encodeInferRequest } from "../../../src/protocol/oip/infer_request.ts";
import { decodeInferResponse, encodeInferResponse } from "../../../src/protocol/oip/infer_response.ts";
import { OipError } from "../../../src/protocol/oip/oip_error.ts";
import { randomFrom } from "../../memory/support.ts";
import { bytesOf, inputOf, joined, SAMPLES, sending } from "./support.ts";

const CASES = 2000;
const inputs = SAMPLES.map((tensor) => inputOf(tensor.dtype, tensor));
const inJson = inputs.filter(({ dtype }) => dtype !== "float16" && dtype !== "bfloat16");
const outputs = inputs.map(({ name }, i) => ({ name, isBinary: i % 2 === 0, part: undefined }));
const bodies = [
  encodeInferRequest(sending(inputs, { id: "7", outputs, priority: 1, timeoutMicros: 5 })),
  encodeInferRequest(sending(inJson), { isJson: true }),
  encodeInferResponse({
    modelName: "m",
    modelVersion: "1",
    id: "7",
    outputs: inputs.map((input, i) => ({ ...input, isBinary: i % 2 === 0 || !inJson.includes(input) })),
  }),
].map(joined);

/** Whether it ends well, or by the error that says what is wrong. */
function isFine(body: Uint8Array<ArrayBuffer>, headerLength: number | undefined): boolean {
  let fine = false;
  try {
    decodeInferRequest(body, headerLength);
    fine = true;
  } catch (error) {
    assert.ok(error instanceof OipError && [400, 501].includes(error.status), String((error as Error).stack));
  }
  try {
    decodeInferResponse(body, headerLength);
    fine = true;
  } catch (error) {
    assert.ok(error instanceof WorkerError && error.code === "WORKER_PROTOCOL", String((error as Error).stack));
  }
  return fine;
}

/** A value of JSON in which hardly anything is as it must be. */
function wrongValue(random: (below: number) => number, depth: number): unknown {
  const few = [null, true, -1, 1.5, 2 ** 53, 1e300, 0, 2, "", "FP32", "INT64", "BYTES", [], {}, [1, 2], ["a"], [[1]]];
  if (depth === 0 || random(3) > 0) return few[random(few.length)];
  return Array.from({ length: random(4) }, () => wrongValue(random, depth - 1));
}

/** Puts another value somewhere into a value of JSON. */
function changeJson(value: unknown, random: (below: number) => number): unknown {
  if (typeof value !== "object" || value === null || random(5) === 0) return wrongValue(random, 2);
  const keys = Object.keys(value);
  if (keys.length === 0) return wrongValue(random, 2);
  const key = keys[random(keys.length)]! as keyof typeof value;
  value[key] = changeJson(value[key], random) as never;
  return value;
}

describe("a body from outside", () => {
  it("is read or refused, wherever it is cut off", () => {
    for (const { body, headerLength } of bodies) {
      assert.ok(isFine(body, headerLength));
      for (let length = 0; length < body.length; length += 7) {
        assert.ok(!isFine(body.slice(0, length), headerLength), `${length}`);
      }
    }
  });

  it("is read or refused, whatever the header says", () => {
    const { body } = bodies[0]!;
    for (let headerLength = 0; headerLength <= body.length + 1; headerLength += 5) isFine(body, headerLength);
  });

  it("is read or refused, whatever bytes it is", () => {
    const random = randomFrom(5);
    for (let i = 0; i < CASES; i++) {
      const body = Uint8Array.from({ length: random(200) }, () => random(256));
      isFine(body, random(2) === 0 ? undefined : random(200));
    }
  });

  it("is read or refused, whatever bytes are changed in it", () => {
    const random = randomFrom(6);
    let fine = 0;
    for (let i = 0; i < CASES; i++) {
      const { body, headerLength } = bodies[i % bodies.length]!, changed = body.slice();
      for (let changes = random(3); changes >= 0; changes--) changed[random(body.length)] = random(256);
      if (isFine(changed, headerLength)) fine++;
    }
    assert.ok(fine > 0 && fine < CASES, `${fine}`);
  });

  it("is read or refused, whatever its JSON says", () => {
    const random = randomFrom(7);
    let fine = 0;
    for (let i = 0; i < CASES; i++) {
      const { text, body, headerLength } = bodies[i % bodies.length]!;
      let fields: unknown = JSON.parse(text);
      for (let changes = random(3); changes >= 0; changes--) fields = changeJson(fields, random);
      const json = bytesOf(JSON.stringify(fields)), binary = body.subarray(headerLength ?? body.length);
      if (isFine(bytesOf(json, binary), json.length)) fine++;
    }
    assert.ok(fine > 0 && fine < CASES, `${fine}`);
  });
});
