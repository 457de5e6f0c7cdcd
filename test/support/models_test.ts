import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import onnxProto, { type onnx } from "onnx-proto";
import * as models from "./models.ts";

function decode(bytes: Uint8Array): onnx.ModelProto {
  return onnxProto.onnx.ModelProto.decode(bytes);
}

/** `x: float32 [N, 2]` of each value, or `x: sequenceType` and the like. */
function describeValues(values: onnx.IValueInfoProto[]): string[] {
  return values.map(({ name, type }) => {
    const tensor = type?.tensorType;
    if (!tensor) return `${name}: ${Object.keys(type!)[0]}`;
    const dtype = Object.entries(models.DTYPES).find(([, number]) => number === tensor.elemType)?.[0];
    const dims = tensor.shape?.dim?.map((dim) => dim.dimParam || String(dim.dimValue));
    return `${name}: ${dtype} [${dims?.join(", ") ?? "?"}]`;
  });
}

function signature(bytes: Uint8Array): string {
  const graph = decode(bytes).graph!;
  return `${describeValues(graph.input!).join("; ")} -> ${describeValues(graph.output!).join("; ")}`;
}

describe("small models", () => {
  const signatures: [Uint8Array, string][] = [
    [models.add(), "a: float32 [2]; b: float32 [2] -> c: float32 [2]"],
    [models.add({ shape: ["N"], dtype: "int64" }), "a: int64 [N]; b: int64 [N] -> c: int64 [N]"],
    [models.scalar(), "x: float32 [] -> y: float32 []"],
    [models.zeroSize(), "x: float32 [0, 3] -> y: float32 [0, 3]"],
    [models.dynamicOutput(), "x: float32 [N] -> y: int64 [1, count]"],
    [models.state(), "x: float32 [2]; state: float32 [2] -> y: float32 [2]; next_state: float32 [2]"],
    [models.slow(), "x: float32 [256]; iterations: int64 [] -> y: float32 [256]"],
    [models.bigMatMul(100), "x: float32 [] -> y: float32 []"],
    [models.strings(), "text: string [N] -> twice: string [M]"],
    [models.stringsAndNumbers(), "text: string [N]; x: float32 [N] -> copy: string [N]; y: float32 [N]"],
    [models.sequenceOutput(), "x: float32 [N, 2] -> y: float32 [N, 2]; rows: sequenceType"],
    [models.sequenceInput(), "items: sequenceType; index: int64 [] -> y: float32 [?]"],
    [models.mapOutput(), "x: float32 [N, 2] -> y: float32 [N, 2]; maps: sequenceType"],
    [models.optionalOutput(), "x: float32 [N, 2] -> y: float32 [N, 2]; maybe: optionalType"],
    [models.withInitializerInput(), "x: float32 [2]; scale: float32 [2] -> y: float32 [2]"],
    [models.failingRun(), "x: float32 [N] -> y: float32 [3]"],
    [models.unsupportedDtype(), "x: undefined [2] -> y: undefined [2]"],
  ];
  for (const [bytes, expected] of signatures) {
    it(expected, () => assert.equal(signature(bytes), expected));
  }

  for (const dtype of Object.keys(models.DTYPES) as models.ModelDtype[]) {
    it(`copies ${dtype}`, () => {
      assert.equal(signature(models.identity(dtype, [3])), `x: ${dtype} [3] -> y: ${dtype} [3]`);
    });
  }

  it("own their buffer", () => {
    const bytes = models.add();
    assert.equal(bytes.byteOffset, 0);
    assert.equal(bytes.buffer.byteLength, bytes.byteLength);
  });

  it("name the asked-for operator sets and operators", () => {
    assert.deepEqual(decode(models.unsupportedOpset()).opsetImport.map(({ version }) => Number(version)), [9999]);
    assert.equal(decode(models.unsupportedOperator()).graph!.node![0]!.opType, "NoSuchOp");
    assert.equal(decode(models.add()).opsetImport[0]!.version?.toString(), "17");
  });

  it("chain as many nodes as asked for", () => {
    const nodes = decode(models.manyNodes(50)).graph!.node!;
    assert.equal(nodes.length, 50);
    assert.deepEqual([nodes[0]!.input![0], nodes[49]!.output![0]], ["x", "y"]);
  });

  it("carry their metadata", () => {
    const model = decode(models.metadata());
    const { custom, description, modelVersion, producerName } = models.METADATA;
    assert.deepEqual(Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])), { ...custom });
    assert.equal(model.docString, description);
    assert.equal(model.producerName, producerName);
    assert.equal(Number(model.modelVersion), modelVersion);
  });
});

describe("writeWeights", () => {
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "coload-models-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  it("puts weights inside the model", () => {
    const model = models.writeWeights({ path: join(directory, "inside.onnx"), byteLength: 1e6, layers: 3 });
    const file = readFileSync(model.path);
    const initializers = decode(file).graph!.initializer!;
    assert.equal(model.byteLength, initializers.reduce((sum, tensor) => sum + tensor.rawData!.byteLength, 0));
    assert.ok(model.byteLength <= 1e6 && model.byteLength > 0.99e6);
    for (const [index, { offset, byteLength, shape }] of model.tensors.entries()) {
      assert.deepEqual(initializers[index]!.dims!.map(Number), shape);
      assert.ok(file.subarray(offset, offset + byteLength).equals(initializers[index]!.rawData!));
    }
  });

  it("puts weights beside the model, in pages of their own", () => {
    const path = join(directory, "outside.onnx");
    const model = models.writeWeights({ path, byteLength: 1e6, layers: 3, external: "weights.bin" });
    assert.equal(model.dataPath, join(directory, "weights.bin"));
    const entries = decode(readFileSync(path)).graph!.initializer!.map(({ externalData }) =>
      Object.fromEntries(externalData!.map(({ key, value }) => [key, value]))
    );
    const lengths = entries.map(({ length }) => Number(length));
    assert.equal(lengths.reduce((sum, length) => sum + length, 0), model.byteLength);
    const last = entries.at(-1)!;
    assert.equal(Number(last.offset) + Number(last.length), statSync(model.dataPath).size);
    assert.ok(entries.every(({ location, offset }) => location === "weights.bin" && Number(offset) % 4096 === 0));
  });

  it("writes the same bytes each time, finite and not all alike", () => {
    const [one, two] = ["one.onnx", "two.onnx"].map((name) =>
      models.writeWeights({ path: join(directory, name), byteLength: 20_000, external: true })
    );
    const bytes = readFileSync(one!.dataPath!);
    assert.ok(bytes.equals(readFileSync(two!.dataPath!)));
    const values = new Float32Array(new Uint8Array(bytes).buffer);
    assert.ok(values.every(Number.isFinite));
    assert.ok(new Set(values).size > values.length / 2);
  });

  it("chains x to y", () => {
    const model = models.writeWeights({ path: join(directory, "chain.onnx"), byteLength: 1e6, layers: 2 });
    const expected = `x: float32 [batch, ${model.inputWidth}] -> y: float32 [batch, ${model.outputWidth}]`;
    assert.equal(signature(readFileSync(model.path)), expected);
  });

  it("refuses what protobuf cannot hold", () => {
    const path = join(directory, "large.onnx");
    assert.throws(() => models.writeWeights({ path, byteLength: 2.2e9 }), RangeError);
  });

  it("refuses fewer bytes than layers have", () => {
    const path = join(directory, "small.onnx");
    assert.throws(() => models.writeWeights({ path, byteLength: 10, layers: 3 }), RangeError);
    assert.throws(() => models.writeWeights({ path, byteLength: 0 }), RangeError);
  });
});
