import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { type BatchAxes, findBatchAxes, proveBatchAxes } from "../../src/worker/batch_axes.ts";
import { nothingLeft } from "../support/left.ts";
import { add, identity, state } from "../support/models.ts";
import { failure, floats, open } from "../support/sessions.ts";
import {
  ASSETS,
  axesOf,
  graph,
  operator,
  type Options,
  refuses,
  resolve,
  summedAt16000,
  watched,
  withMean,
} from "./batch_axes_support.ts";

afterEach(nothingLeft);

describe("findBatchAxes", () => {
  it("finds the first axis", async () => {
    assert.deepEqual(await axesOf(operator("MatMul")), [{ x: 0 }, [0]]);
    assert.deepEqual(await axesOf(operator("Conv"), { maxBatchSize: 4 }), [{ x: 0 }, [0]]);
  });

  it("finds the axis of one name in several inputs and outputs", async () => {
    assert.deepEqual(await axesOf(add({ shape: [3, "N"] })), [{ a: 1, b: 1 }, [1]]);
    assert.deepEqual(await axesOf(state(["N", 2])), [{ x: 0, state: 0 }, [0, 0]]);
  });

  it("finds the batch and not the time of recurrent models", async () => {
    assert.deepEqual(await axesOf(operator("LSTM")), [{ x: 1 }, [2]]);
    assert.deepEqual(await axesOf(operator("GRU"), { maxBatchSize: 2 }), [{ x: 1 }, [2]]);
  });

  it("finds the batch and not the sequence of attention", async () => {
    assert.deepEqual(await axesOf(operator("Attention")), [{ x: 0 }, [0]]);
    assert.deepEqual(await axesOf(operator("Gather")), [{ ids: 0 }, [0]]);
  });

  it("finds those of silero, whose dimensions have no names", async () => {
    const silero = resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx");
    assert.deepEqual(await axesOf(silero), [{ input: 0, state: 1, sr: "same" }, [0, 1]]);
  });

  it("finds those of a classifier of images", async () => {
    const classifier = new URL(`${ASSETS}ch_ppocr_mobile_v2.0_cls_infer.onnx`, import.meta.url);
    assert.deepEqual(await axesOf(classifier, { maxBatchSize: 3 }), [{ x: 0 }, [0]]);
  });

  it("leaves a scalar as one that a batch has in common", async () => {
    const scaled = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 2]), scale = graph.input("scale", "float32", []);
      return graph.add("Mul", [x, scale]);
    }, ["N", 2]);
    assert.deepEqual(await axesOf(scaled), [{ x: 0, scale: "same" }, [0]]);
    assert.deepEqual(await axesOf(summedAt16000()), [{ x: 0, rate: "same" }, [0]]);
  });

  it("leaves one that is broadcast, and joins it where each row may have its own", async () => {
    const shifted = (rows: string | number): Uint8Array<ArrayBuffer> =>
      graph((graph) => {
        const x = graph.input("x", "float32", ["N", 2]), bias = graph.input("bias", "float32", [rows, 2]);
        return graph.add("Add", [x, bias]);
      }, ["N", 2]);
    assert.deepEqual(await axesOf(shifted(1)), [{ x: 0, bias: "same" }, [0]]);
    assert.deepEqual(await axesOf(shifted("M")), [{ x: 0, bias: 0 }, [0]]);
  });

  it("leaves a matrix that all rows are multiplied with", async () => {
    const product = graph((graph) => {
      const x = graph.input("x", "float32", ["N", "K"]), w = graph.input("w", "float32", ["K", "D"]);
      return graph.add("MatMul", [x, w]);
    }, ["N", "D"]);
    assert.deepEqual(await axesOf(product, { tolerance: 1e-5 }), [{ x: 0, w: "same" }, [0]]); // other code for one row
  });

  it("takes integers, booleans and halves", async () => {
    for (const dtype of ["int64", "uint8", "int8", "bool", "int32", "float16", "bfloat16", "uint64"] as const) {
      assert.deepEqual(await axesOf(identity(dtype, ["N", 3])), [{ x: 0 }, [0]], dtype);
    }
  });

  it("takes what the user knows of dimensions", async () => {
    const rows = graph((graph) => {
      const x = graph.input("x", "float32", ["N", "W"]);
      return graph.add("Reshape", [x, graph.constant("int64", [2], [-1, 11])]);
    }, ["M", 11]);
    await refuses(rows, /no request that was made up runs/);
    assert.deepEqual(await axesOf(rows, { dimensions: { W: 11 } }), [{ x: 0 }, [0]]);
    assert.deepEqual(await axesOf(rows, { example: { x: Tensor.zeros("float32", [1, 11]) } }), [{ x: 0 }, [0]]);
    await refuses(identity("float32", ["N"]), /^no input has an open dimension$/, { dimensions: { N: 1 } });
  });
});

describe("a tolerance", () => {
  /** `x`, larger by a millionth for each row of the batch. */
  const growing = (): Uint8Array<ArrayBuffer> =>
    graph((graph) => {
      const x = graph.input("x", "float32", ["N", 5]);
      const rows = graph.add("Gather", [graph.add("Shape", [x]), graph.constant("int64", [], [0])]);
      const part = graph.add("Mul", [graph.add("Cast", [rows], { to: 1 }), graph.constant("float32", [], [1e-6])]);
      return graph.add("Mul", [x, graph.add("Add", [part, graph.constant("float32", [], [1])])]);
    }, ["N", 5]);

  it("lets floats differ by that part of the largest, and no more", async () => {
    await refuses(growing(), /differs by/);
    await refuses(growing(), /differs by/, { tolerance: 1e-7 });
    assert.deepEqual(await axesOf(growing(), { tolerance: 1e-4 }), [{ x: 0 }, [0]]);
  });

  it("does not let much of a quiet request differ, though it be little beside a loud one", async () => {
    await refuses(withMean(1e-3), /differs by/, { tolerance: 0.01 });
  });
});

describe("the trials of findBatchAxes", () => {
  it("are bounded", async () => {
    const many = graph((graph) => {
      const inputs = ["a", "b", "c", "d"].map((name) => graph.input(name, "float32", ["", "", "", ""]));
      return graph.add("Softmax", [graph.add("Max", inputs)], { axis: 0 });
    }, ["", "", "", ""]);
    await using session = await open(many);
    let runs = 0;
    const found = await findBatchAxes(watched(session, () => runs++), { maxBatchSize: 4 });
    assert.ok("reason" in found && runs <= 400, `${runs} runs, ${JSON.stringify(found)}`);
  });

  it("end with the signal's reason", async () => {
    await using session = await open(add({ shape: ["N", 2] }));
    const reason = new Error("enough"), controller = new AbortController();
    let runs = 0;
    const model = watched(session, () => ++runs === 3 && controller.abort(reason));
    const is = (error: unknown): boolean => error === reason;
    await assert.rejects(findBatchAxes(model, { maxBatchSize: 4, signal: controller.signal }), is);
    assert.equal(runs, 3);
    await assert.rejects(findBatchAxes(model, { maxBatchSize: 4, signal: AbortSignal.abort(reason) }), is);
    assert.equal(runs, 3);
  });

  it("want options that make sense", async () => {
    await using session = await open(add({ shape: ["N", 2] }));
    const wrong: [Options, string, string][] = [
      [{ maxBatchSize: 0 }, "RangeError", "OUT_OF_RANGE"],
      [{ maxBatchSize: 2.5 }, "RangeError", "OUT_OF_RANGE"],
      [{ tolerance: -1 }, "RangeError", "OUT_OF_RANGE"],
      [{ tolerance: NaN }, "RangeError", "OUT_OF_RANGE"],
      [{ dimensions: { width: 3 } }, "TypeError", "INVALID_ARGUMENT"],
      [{ dimensions: { N: -3 } }, "RangeError", "OUT_OF_RANGE"],
      [{ example: { a: floats([1, 2], [1, 2]) } }, "TypeError", "MISSING_FEED"],
    ];
    for (const [options, name, code] of wrong) {
      await assert.rejects(findBatchAxes(session, { maxBatchSize: 4, ...options }), failure(name, code));
    }
  });

  it("want a session that is there", async () => {
    const session = await open(add({ shape: ["N", 2] }));
    await session[Symbol.asyncDispose]();
    await assert.rejects(findBatchAxes(session, { maxBatchSize: 4 }), failure("ReferenceError", "DISPOSED"));
  });
});

describe("proveBatchAxes", () => {
  const rate = (value: number): Record<string, Tensor> => ({
    x: floats([0, 0], [1, 2]),
    rate: Tensor.from([value], [], "int64"),
  });

  it("proves them for what requests have in common", async () => {
    await using session = await open(summedAt16000());
    const found = await findBatchAxes(session, { maxBatchSize: 4 });
    assert.ok("axes" in found);
    assert.equal(await proveBatchAxes(session, found.axes, { maxBatchSize: 4, example: rate(8000) }), undefined);
    const why = await proveBatchAxes(session, found.axes, { maxBatchSize: 4, example: rate(16000) });
    assert.match(why!, /differs by/);
  });

  it("proves them for silero at each of its rates", async () => {
    await using session = await InferenceSession.create(resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
    const axes: BatchAxes = { inputs: { input: 0, state: 1, sr: "same" }, outputs: { output: 0, stateN: 1 } };
    for (const [sr, samples] of [[8000, 256], [16000, 512]] as const) {
      const state = Tensor.zeros("float32", [2, 1, 128]), input = Tensor.zeros("float32", [1, samples]);
      const example = { input, state, sr: Tensor.from([sr], [], "int64") };
      assert.equal(await proveBatchAxes(session, axes, { maxBatchSize: 5, example }), undefined, `${sr}`);
    }
  });

  it("refuses axes that are not the model's", async () => {
    await using session = await open(add({ shape: ["N", "N"] }));
    const x = floats([1, 2, 3, 4], [2, 2]), options = { maxBatchSize: 4, example: { a: x, b: x } };
    const wrong: BatchAxes = { inputs: { a: 0, b: 0 }, outputs: { c: 1 } };
    assert.match((await proveBatchAxes(session, wrong, options))!, /output "c" is/);
    assert.equal(await proveBatchAxes(session, { ...wrong, outputs: { c: 0 } }, options), undefined);
  });

  it("draws integers from the example", async () => {
    const rows = graph((graph) => {
      const ids = graph.input("ids", "int64", ["N", "T"]), bound = graph.constant("int64", [], [-90]);
      return graph.add("Gather", [graph.weight([10, 3]), graph.add("Add", [ids, bound])]);
    }, ["N", "T", 3]);
    await refuses(rows, /no request that was made up runs/);
    const example = { ids: Tensor.from([97, 95, 96, 99], [1, 4], "int64") };
    assert.deepEqual(await axesOf(rows, { example }), [{ ids: 0 }, [0]]);
  });
});
