import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeInferRequest, encodeInferRequest } from "../../../src/protocol/oip/infer_request.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { failure, floats, nativeFloats } from "../../support/sessions.ts";
import { bytesOf, contentOf, decoded, floatBytes, inputOf, joined, requestOf, SAMPLES, sending } from "./support.ts";

/** What the stock Python client sends. */
const STOCK_BINARY =
  '{"id":"42","inputs":[{"name":"IN","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],' +
  '"outputs":[{"name":"OUT","parameters":{"binary_data":true}}],"parameters":{"priority":1,"timeout":1000}}';
const STOCK_SHARED =
  '{"inputs":[{"name":"IN","shape":[1,2],"datatype":"FP32","parameters":{"shared_memory_region":"reg_in",' +
  '"shared_memory_byte_size":8}}],"outputs":[{"name":"OUT","parameters":{"binary_data":false,' +
  '"shared_memory_region":"reg_out","shared_memory_byte_size":8}}]}';
const PARTS = {
  in: { region: "reg_in", byteOffset: 0, byteLength: 8 },
  out: { region: "reg_out", byteOffset: 0, byteLength: 8 },
};

describe("a request of the stock Python client", () => {
  it("is read where its tensors are binary", () => {
    assert.equal(STOCK_BINARY.length, 208);
    const found = decodeInferRequest(bytesOf(STOCK_BINARY, floatBytes(1.5, -2)), 208), { inputs, ...rest } = found;
    assert.deepEqual(inputs.map(({ name, tensor, part }) => [name, contentOf(tensor!), part]), [
      ["IN", contentOf(floats([1.5, -2], [1, 2])), undefined],
    ]);
    assert.deepEqual(rest, {
      id: "42",
      outputs: [{ name: "OUT", isBinary: true, part: undefined }],
      isBinaryByDefault: false,
      priority: 1,
      timeoutMicros: 1000,
      sequence: undefined,
    });
  });

  it("is read where its tensors are in shared memory", () => {
    assert.deepEqual(decoded(STOCK_SHARED), {
      id: undefined,
      inputs: [{ name: "IN", dtype: "float32", shape: [1, 2], tensor: undefined, part: PARTS.in }],
      outputs: [{ name: "OUT", isBinary: false, part: PARTS.out }],
      isBinaryByDefault: false,
      priority: 0,
      timeoutMicros: 0,
      sequence: undefined,
    });
  });

  it("is what is written as well, to the byte", () => {
    const outputs = [{ name: "OUT", isBinary: true, part: undefined }], more = { isBinaryByDefault: false };
    const input = inputOf("IN", floats([1.5, -2], [1, 2]));
    const binary = sending([input], { id: "42", outputs, priority: 1, timeoutMicros: 1000, ...more });
    assert.deepEqual(joined(encodeInferRequest(binary)), {
      body: bytesOf(STOCK_BINARY, floatBytes(1.5, -2)),
      headerLength: 208,
      text: STOCK_BINARY,
    });
    const inRegion = { ...input, tensor: undefined, part: PARTS.in }, toRegion = { ...outputs[0]!, part: PARTS.out };
    const shared = joined(encodeInferRequest(sending([inRegion], { outputs: [toRegion], ...more })));
    assert.deepEqual([shared.text, shared.headerLength], [STOCK_SHARED, undefined]);
  });
});

describe("a request", () => {
  it("is read without what it may leave out, or says to be null", () => {
    const rest = {
      id: undefined,
      outputs: undefined,
      isBinaryByDefault: false,
      priority: 0,
      timeoutMicros: 0,
      sequence: undefined,
    };
    const nothing = { id: null, outputs: null, parameters: null };
    const text = requestOf({ data: [1, 2], parameters: null }, nothing);
    for (const { inputs, ...found } of [decoded(requestOf({ data: [1, 2] })), decoded(text)]) {
      assert.deepEqual(found, rest);
      assert.deepEqual(inputs[0]!.tensor!.data, Float32Array.of(1, 2));
    }
    assert.deepEqual(decoded('{"inputs":[]}'), { inputs: [], ...rest });
    assert.equal(decoded('{"inputs":[],"outputs":[]}').outputs, undefined);
  });

  it("says its place in a sequence, by a number or a name", () => {
    const placeOf = (parameters: unknown) => decoded(requestOf({ data: [1, 2] }, { parameters })).sequence;
    assert.deepEqual(placeOf({ sequence_id: 7, sequence_start: true }), { id: 7, start: true, end: false });
    assert.deepEqual(placeOf({ sequence_id: "7", sequence_end: true }), { id: "7", start: false, end: true });
    assert.deepEqual(placeOf({ sequence_id: 2 ** 53 - 1 }), { id: 2 ** 53 - 1, start: false, end: false });
    assert.equal(placeOf({ sequence_id: "", sequence_start: false, sequence_end: null }), undefined);
  });

  it("may say what nobody knows, and that it wants nothing of sequences and classes", () => {
    const parameters = { sequence_id: 0, sequence_start: false, sequence_end: false, headers: {}, other: [1] };
    const outputs = [{ name: "OUT", parameters: { classification: 0, other: 1 }, more: 7 }];
    const { outputs: found } = decoded(requestOf({ data: [1, 2], more: 7 }, { parameters, outputs, more: 7 }));
    assert.deepEqual(found, [{ name: "OUT", isBinary: false, part: undefined }]);
  });

  it("asks for all outputs as bytes, but for those of which it says otherwise", () => {
    const outputs = [{ name: "a" }, { name: "b", parameters: { binary_data: false } }];
    const parameters = { binary_data_output: true };
    const found = decoded(requestOf({ data: [1, 2] }, { parameters, outputs }));
    assert.deepEqual([found.isBinaryByDefault, found.outputs!.map(({ isBinary }) => isBinary)], [true, [true, false]]);
    assert.equal(decoded(requestOf({ data: [1, 2] }, { parameters })).isBinaryByDefault, true);
  });

  it("has an offset in shared memory, the smallest of which is left out", () => {
    const parameters = { shared_memory_region: "r", shared_memory_byte_size: 8, shared_memory_offset: 24 };
    const [input] = decoded(requestOf({ parameters })).inputs, part = { region: "r", byteOffset: 24, byteLength: 8 };
    assert.deepEqual(input!.part, part);
    const { text } = joined(encodeInferRequest(sending([input!])));
    assert.deepEqual(JSON.parse(text).inputs[0].parameters, parameters);
  });

  it("has names that mean nothing to the language", () => {
    const text = requestOf({ name: "__proto__", data: [1, 2] }, { outputs: [{ name: "constructor" }] });
    const { inputs, outputs } = decoded(text);
    assert.deepEqual([inputs[0]!.name, outputs![0]!.name], ["__proto__", "constructor"]);
    assert.throws(() => decoded('{"__proto__":{"inputs":[]}}'), { name: "OipError" });
  });
});

describe("a request that is wrong", () => {
  const input = { name: "IN", shape: [2], datatype: "FP32", data: [1, 2] }, region = "shared_memory_region";
  const size = "shared_memory_byte_size", offset = "shared_memory_offset";
  const shared = (parameters: Record<string, unknown>): string => requestOf({ parameters });
  const asking = (output: unknown): string => requestOf({ data: [1, 2] }, { outputs: [output] });
  const refused: readonly (readonly [what: string, text: string, message: RegExp, status?: number])[] = [
    ["is empty", "", /the request: it is not JSON/],
    ["is no JSON", '{"inputs":[', /it is not JSON/],
    ["is followed by more", '{"inputs":[]}x', /it is not JSON/],
    ["is null", "null", /an object wanted, null found/],
    ["is an array", "[]", /an object wanted, an array found/],
    ["has no inputs", "{}", /an array wanted as inputs, nothing found/],
    ["has inputs that are none", '{"inputs":{}}', /an array wanted as inputs, an object found/],
    ["has an input that is none", '{"inputs":[7]}', /input 0: an object wanted, 7 found/],
    ["has an input without a name", requestOf({ name: undefined, data: [] }), /a string wanted as name, nothing found/],
    ["has an id that is no text", requestOf({ data: [1, 2] }, { id: 7 }), /a string wanted as id, 7 found/],
    ["has an unknown datatype", requestOf({ datatype: "FP8" }), /input "IN": its datatype is "FP8", one of BOOL/],
    ["has no datatype", requestOf({ datatype: undefined }), /its datatype is nothing/],
    ["has no shape", requestOf({ shape: undefined }), /an array wanted as shape, nothing found/],
    ["has a shape that is a text", requestOf({ shape: "2" }), /an array wanted as shape, "2" found/],
    ["has a negative dimension", requestOf({ shape: [1, -2] }), /dimension 1 of its shape, -2 found/],
    ["has a fractional dimension", requestOf({ shape: [0.5] }), /dimension 0 of its shape, 0.5 found/],
    ["has a dimension that is a text", requestOf({ shape: ["2"] }), /dimension 0 of its shape, "2" found/],
    ["has a dimension beyond 2^53", requestOf({ shape: [2 ** 53] }), /dimension 0 of its shape/],
    ["has a shape that overflows", requestOf({ shape: [2 ** 32, 2 ** 32] }), /too many elements/],
    ["has a shape that overflows in bytes", requestOf({ shape: [2 ** 52] }), /too many elements/],
    ["has strings that overflow", requestOf({ datatype: "BYTES", shape: [2 ** 40, 2 ** 40] }), /too many elements/],
    ["has too many dimensions", requestOf({ shape: new Array(65).fill(1) }), /at most 64 dimensions wanted, 65 found/],
    ["has no elements", requestOf({}), /data, binary_data_size or shared_memory_region wanted, none found/],
    ["has elements twice", requestOf({ data: [1, 2], parameters: { binary_data_size: 8 } }), /more than one of data/],
    ["has data, and a region", requestOf({ data: [1, 2], parameters: { [region]: "r", [size]: 8 } }), /more than one/],
    ["has bytes, and a region", shared({ binary_data_size: 8, [region]: "r", [size]: 8 }), /more than one/],
    ["has a region without a size", shared({ [region]: "r" }), /region without shared_memory_byte_size/],
    ["has a size without a region", shared({ [size]: 8 }), /byte_size without shared_memory_region/],
    ["has a region that is no text", shared({ [region]: 7, [size]: 8 }), /a string wanted as shared_memory_region/],
    ["has a negative size", shared({ [region]: "r", [size]: -8 }), /shared_memory_byte_size, -8 found/],
    ["has a negative offset", shared({ [region]: "r", [size]: 8, [offset]: -8 }), /shared_memory_offset, -8 found/],
    ["has an offset beyond 2^53", shared({ [region]: "r", [size]: 8, [offset]: 2 ** 53 }), /shared_memory_offset/],
    [
      "has an offset that overflows",
      shared({ [region]: "r", [size]: 8, [offset]: Number.MAX_SAFE_INTEGER }),
      /no region has 8 bytes from 9007199254740991 on/,
    ],
    ["has a size that is not the shape's", shared({ [region]: "r", [size]: 4 }), /FP32 \[2\] has 8 bytes, 4 found/],
    ["has parameters that are none", requestOf({ data: [1, 2], parameters: [] }), /an object wanted as parameters/],
    ["has an input twice", JSON.stringify({ inputs: [input, input] }), /the request: "IN" is there twice/],
    ["asks for an output twice", requestOf(input, { outputs: [{ name: "a" }, { name: "a" }] }), /"a" is there twice/],
    ["asks for what is no output", asking("OUT"), /output 0: an object wanted, "OUT" found/],
    ["asks for an output without a name", asking({}), /a string wanted as name, nothing found/],
    ["asks for outputs that are none", requestOf(input, { outputs: "OUT" }), /an array wanted as outputs, "OUT" found/],
    ["asks for bytes by a number", asking({ name: "a", parameters: { binary_data: 1 } }), /as binary_data, 1 found/],
    ["asks for half a region", asking({ name: "a", parameters: { [region]: "r" } }), /without shared_memory_byte_size/],
    ["has parameters of no use", requestOf(input, { parameters: 7 }), /an object wanted as parameters, 7 found/],
    ["has no flag", requestOf(input, { parameters: { binary_data_output: 1 } }), /as binary_data_output, 1 found/],
    ["has a negative priority", requestOf(input, { parameters: { priority: -1 } }), /as priority, -1 found/],
    ["has a timeout that is a text", requestOf(input, { parameters: { timeout: "1" } }), /as timeout, "1" found/],
    [
      "asks for classes",
      asking({ name: "a", parameters: { classification: 3 } }),
      /classification is not supported/,
      501,
    ],
    ["starts no sequence", requestOf(input, { parameters: { sequence_start: true } }), /_start without a sequence_id/],
    ["ends no sequence", requestOf(input, { parameters: { sequence_end: true } }), /_end without a sequence_id/],
    ["is of half a sequence", requestOf(input, { parameters: { sequence_id: 0.5 } }), /as sequence_id, 0.5 found/],
    ["is of a sequence before", requestOf(input, { parameters: { sequence_id: -1 } }), /as sequence_id, -1 found/],
    ["is of an endless name", requestOf(input, { parameters: { sequence_id: "s".repeat(129) } }), /128 characters/],
    ["is of a list", requestOf(input, { parameters: { sequence_id: [1] } }), /as sequence_id, an array found/],
    [
      "starts by a number",
      requestOf(input, { parameters: { sequence_id: 1, sequence_start: 1 } }),
      /true or false wanted as sequence_start, 1 found/,
    ],
    [
      "is nested too deep",
      requestOf({ data: JSON.parse("[".repeat(98) + "]".repeat(98)) }),
      /nested more than 100 deep/,
    ],
    ["is a bomb", "[".repeat(1_000_000), /nested more than 100 deep/],
  ];
  for (const [what, text, message, status = 400] of refused) {
    it(`is refused where it ${what}`, () => {
      assert.throws(() => decoded(text), { name: "OipError", status, message });
    });
  }

  it("is refused with a message of a bounded length", () => {
    const long = "x".repeat(1_000_000);
    const texts = [
      long,
      `"${long}"`,
      requestOf({ name: long }),
      requestOf({ datatype: long }),
      requestOf({ shape: long }),
    ];
    for (const text of texts) {
      assert.throws(() => decoded(text), ({ message }: Error) => message.length < 400);
    }
  });

  it("is refused where the header is longer than the body, or no length", () => {
    for (const headerLength of [14, -1, 1.5, NaN, 2 ** 53]) {
      const message = new RegExp(`a header of ${headerLength} bytes in a body of 13`);
      assert.throws(() => decodeInferRequest(bytesOf('{"inputs":[]}'), headerLength), { status: 400, message });
    }
  });

  it("is refused where its text is not UTF-8", () => {
    const text = bytesOf('{"id":"', Uint8Array.of(0xff), '","inputs":[]}');
    assert.throws(() => decodeInferRequest(text, undefined), { status: 400, message: /its JSON is not UTF-8/ });
  });
});

describe("a request that is written", () => {
  for (const tensor of SAMPLES) {
    it(`is read as it was: ${tensor.dtype}`, () => {
      const { body, headerLength } = joined(encodeInferRequest(sending([inputOf("IN", tensor)])));
      const { inputs, isBinaryByDefault } = decodeInferRequest(body, headerLength);
      assert.deepEqual(contentOf(inputs[0]!.tensor!), contentOf(tensor));
      assert.equal(isBinaryByDefault, true);
    });

    it(`is read as it was from JSON alone: ${tensor.dtype}`, () => {
      const request = sending([inputOf("IN", tensor)]);
      if (tensor.dtype === "float16" || tensor.dtype === "bfloat16") {
        assert.throws(() => encodeInferRequest(request, { isJson: true }), failure("TypeError", "UNSUPPORTED"));
        return;
      }
      const { body, headerLength } = joined(encodeInferRequest(request, { isJson: true }));
      assert.equal(headerLength, undefined);
      assert.deepEqual(contentOf(decodeInferRequest(body, headerLength).inputs[0]!.tensor!), contentOf(tensor));
    });
  }

  it("borrows its tensors, and aligns the first", () => {
    using tensor = nativeFloats([1, 2]);
    for (const name of ["a", "ab", "abc"]) {
      const { headerLength, parts } = encodeInferRequest(sending([inputOf(name, tensor)]));
      assert.deepEqual([headerLength! % 8, headerLength], [0, parts[0]!.length]);
      assert.equal(parts[1]!.buffer, tensor.data.buffer);
    }
  });

  it("has tensors of no elements, and scalars", () => {
    const inputs = [Tensor.zeros("float32", [0, 3]), Tensor.from([7n], [], "int64")].map((tensor, i) =>
      inputOf(`${i}`, tensor)
    );
    for (const isJson of [false, true]) {
      const { body, headerLength } = joined(encodeInferRequest(sending(inputs), { isJson }));
      const found = decodeInferRequest(body, headerLength).inputs;
      assert.deepEqual(found.map(({ tensor }) => contentOf(tensor!)), inputs.map(({ tensor }) => contentOf(tensor!)));
    }
  });
});
