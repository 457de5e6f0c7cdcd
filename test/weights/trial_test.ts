import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { startOrt } from "../../src/ort/environment.ts";
import { ProgressReport } from "../../src/ort/load_progress.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import type { Manifest } from "../../src/weights/manifest.ts";
import { prepare } from "../../src/weights/prepare.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { heavy, random, weights, WIDTH } from "../session/children/sharing_models.ts";
import { nothingLeft } from "../support/left.ts";
import { DTYPES, encodeModel, int64s, type ModelDtype, node, tensorType, value } from "../support/models/proto.ts";

/** What is kept of a model that was prepared, and that nothing else is. */
async function prepared(bytes: Uint8Array, dimensions: Record<string, number> = {}): Promise<Manifest> {
  using folder = new TemporaryFolder();
  using progress = new ProgressReport(undefined);
  await startOrt();
  const cache = WeightsCache.locate(folder.path), { length: byteLength } = bytes;
  const request = {
    cache,
    source: { bytes },
    name: "it",
    byteLength,
    options: {},
    mode: "prepacked",
    progress,
  } as const;
  const { copy, made } = await prepare({ ...request, dimensions });
  assert.ok(made);
  assert.deepEqual(readdirSync(cache.work), []);
  assert.equal(existsSync(`${copy.directory}/model.data`), copy.manifest.refused === undefined);
  return copy.manifest;
}

/** The sizes and numbers that a model was tried with. */
async function trials(bytes: Uint8Array, dimensions?: Record<string, number>): Promise<string[]> {
  const { refused, trials } = await prepared(bytes, dimensions);
  assert.equal(refused, undefined);
  return trials.map(({ size, integers }) => `${size}/${integers}`);
}

afterEach(nothingLeft);

describe("a model is tried", () => {
  it("in two sizes where a dimension is open, and in one where none is", async () => {
    assert.deepEqual(await trials(heavy()), ["8/1", "1/1"]);
    assert.deepEqual(await trials(heavy({}, { rows: 2 })), ["1/1"]);
  });

  it("with dimensions that have no name", async () => {
    const x = { name: "x", type: { tensorType: { elemType: 1, shape: { dim: [{}, { dimValue: WIDTH }] } } } };
    const parts = { inputs: [x], outputs: [value("y", "float32", ["N", WIDTH])] };
    const model = encodeModel({ ...parts, nodes: [node("MatMul", ["x", "W"], ["y"])] }, { initializers: [weights()] });
    assert.deepEqual(await trials(model), ["8/1", "1/1"]);
  });

  it("with scalars", async () => {
    const scalar = { inputs: [value("s", "float32", [])], outputs: [value("t", "float32", [])] };
    assert.deepEqual(await trials(heavy({ ...scalar, nodes: [node("Neg", ["s"], ["t"])] })), ["8/1", "1/1"]);
  });

  it("with whole numbers that may be indices, 1 and 0, whichever are in range", async () => {
    const gather = (rows: number): Uint8Array =>
      heavy({
        inputs: [value("ids", "int64", ["N"])],
        outputs: [value("row", "float32", ["N", rows])],
        nodes: [node("Gather", ["few", "ids"], ["row"])],
      }, { initializers: [{ name: "few", dims: [rows, rows], dataType: 1, floatData: Array(rows * rows).fill(2) }] });
    assert.deepEqual(await trials(gather(2)), ["8/1", "8/0", "1/1", "1/0"]);
    assert.deepEqual(await trials(gather(1)), ["8/0", "1/0"]);
  });

  it("with strings", async () => {
    const parts = { inputs: [value("text", "string", ["N"])], outputs: [value("same", "string", ["N"])] };
    assert.deepEqual(await trials(heavy({ ...parts, nodes: [node("Identity", ["text"], ["same"])] })), ["8/1", "1/1"]);
  });

  it("with numbers of every kind", async () => {
    const dtypes = Object.keys(DTYPES) as ModelDtype[];
    const model = heavy({
      inputs: dtypes.map((dtype) => value(`in_${dtype}`, dtype, ["N", 3])),
      outputs: dtypes.map((dtype) => value(`out_${dtype}`, dtype, ["N", 3])),
      nodes: dtypes.map((dtype) => node("Identity", [`in_${dtype}`], [`out_${dtype}`])),
    });
    assert.deepEqual(await trials(model), ["8/1", "8/0", "1/1", "1/0"]);
  });

  it("in the one size that it can be run in, if that is among those tried or the user names it", async () => {
    const reshaped = (size: number): Uint8Array =>
      heavy({
        inputs: [value("z", "float32", ["N"])],
        outputs: [value("r", "float32", [size])],
        nodes: [node("Reshape", ["z", "shape"], ["r"])],
      }, { rows: 1, initializers: [int64s("shape", [1], [size])] });
    assert.deepEqual(await trials(reshaped(3)), ["3/1"]);
    const { refused } = await prepared(reshaped(7));
    assert.match(refused!, /^no run with made-up inputs works: Cannot run the model: .*Reshape/);
    assert.deepEqual(await trials(reshaped(7), { N: 7 }), ["1/1"]);
  });

  it("whatever its dimensions are called", async () => {
    assert.deepEqual(await trials(heavy({}, { rows: "constructor" })), ["8/1", "1/1"]);
    assert.deepEqual(await trials(heavy({}, { rows: "Anzahl – 数" })), ["8/1", "1/1"]);
  });

  it("by the outputs that are tensors, where others are not", async () => {
    const rows = { name: "rows", type: { sequenceType: { elemType: tensorType("float32", [1, WIDTH]) } } };
    assert.deepEqual(await trials(heavy({ outputs: [rows], nodes: [node("SplitToSequence", ["x"], ["rows"])] })), [
      "8/1",
      "1/1",
    ]);
  });
});

describe("a model is refused", () => {
  const sequence = (name: string) => ({ name, type: { sequenceType: { elemType: tensorType("float32") } } });

  it("whose inputs cannot be made up", async () => {
    const index = value("index", "int64", []), parts = { inputs: [sequence("items"), index] };
    const nodes = [node("SequenceAt", ["items", "index"], ["item"])];
    const { refused } = await prepared(
      heavy({ ...parts, outputs: [{ name: "item", type: tensorType("float32") }], nodes }),
    );
    assert.equal(refused, 'input "items" is sequence<tensor<float32>>, for which no value can be made up');
  });

  it("of whose outputs none is a tensor", async () => {
    const nodes = [node("MatMul", ["x", "W"], ["y"]), node("SequenceConstruct", ["y"], ["all"])];
    const inputs = [value("x", "float32", ["N", WIDTH])];
    const model = encodeModel({ inputs, outputs: [sequence("all")], nodes }, { initializers: [weights()] });
    assert.equal((await prepared(model)).refused, "none of its outputs is a tensor");
  });

  it("whose outputs are others at each run", async () => {
    const { refused } = await prepared(random());
    assert.equal(refused, "its outputs are others at each run, so that no copy can be compared with it");
  });

  it("whose inputs are too large to try", async () => {
    const parts = { inputs: [value("z", "float32", [2 ** 27])], outputs: [value("w", "float32", [2 ** 27])] };
    const { refused } = await prepared(heavy({ ...parts, nodes: [node("Neg", ["z"], ["w"])] }));
    assert.match(refused!, /an input of shape \[134217728\] is too large to try$/);
  });

  it("whose values have no elements", async () => {
    const { refused } = await prepared(heavy({}, { rows: 0 }));
    assert.match(refused!, /^its outputs with made-up inputs are empty or no numbers/);
  });

  it("whose strings are too many to try", async () => {
    const parts = { inputs: [value("z", "string", [2 ** 33])], outputs: [value("w", "string", [2 ** 33])] };
    const { refused } = await prepared(heavy({ ...parts, nodes: [node("Identity", ["z"], ["w"])] }));
    assert.match(refused!, /^no run with made-up inputs works/);
  });

  it("whose weights are too small apart", async () => {
    const vector = (i: number) => ({ name: `v${i}`, dims: [200], dataType: 1, floatData: Array(200).fill(i) });
    const initializers = Array.from({ length: 1400 }, (_, i) => vector(i));
    const model = encodeModel({
      inputs: [value("x", "float32", [200])],
      outputs: [value("y1400", "float32", [200])],
      nodes: initializers.map(({ name }, i) => node("Add", [i === 0 ? "x" : `y${i}`, name], [`y${i + 1}`])),
    }, { initializers });
    assert.match((await prepared(model)).refused!, /^it has no weights of \d+ KB or more$/);
  });
});
