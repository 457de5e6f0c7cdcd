import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import onnxProto, { type onnx } from "onnx-proto";
import { externalLocations, operatorsOf } from "../../src/ort/model_scan.ts";
import { processor } from "../../src/weights/machine.ts";
import { refused } from "../memory/peers/peer.ts";
import { nothingLeft } from "../support/left.ts";
import { DTYPES, modelProto, node, value } from "../support/models/proto.ts";
import { inChild, otherProcessor, prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const { ModelProto, AttributeProto } = onnxProto.onnx;
const { GRAPH, GRAPHS, TENSOR, TENSORS, SPARSE_TENSOR } = AttributeProto.AttributeType;

let folder: ScratchFolder;
before(() => {
  folder = scratchFolder();
});
after(() => folder[Symbol.dispose]());
afterEach(nothingLeft);

describe("the processor", () => {
  const cpuinfo = readFileSync("/proc/cpuinfo", "utf8"), skip = refused(otherProcessor("/proc/version"));

  /** Its features, where the kernel tells this of it. */
  async function featuresIn(text: string): Promise<readonly string[]> {
    const file = folder.join("cpuinfo");
    writeFileSync(file, text);
    const [answer] = await inChild(folder.join("cache"), [{ do: "processor" }], { through: otherProcessor(file) });
    assert.equal(answer!.error, undefined);
    return answer!.features!;
  }

  it("is what the kernel tells of it", () => {
    const { architecture, model, features } = processor()!;
    assert.equal(architecture, { x64: "x64", arm64: "arm64" }[architecture]);
    assert.ok(model.length > 0 && !model.includes("\n"));
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)![1]!;
    assert.deepEqual(features, [...new Set(line.trim().split(" "))].sort());
  });

  it("is the same in whatever order its features are told, and with all that any core has", { skip }, async () => {
    assert.deepEqual(await featuresIn("flags : b  a c\n\nflags\t: c a d \n"), ["a", "b", "c", "d"]);
  });

  it("is the same of a thousand cores, however long their lines are", { skip }, async () => {
    const flags = Array.from({ length: 160 }, (_, i) => `feature${i}`).sort();
    const told = (mhz: string): Promise<readonly string[]> =>
      featuresIn(`processor : 0\ncpu MHz : ${mhz}\nflags : ${flags.join(" ")}\n\n`.repeat(1000));
    for (const mhz of ["800.000", "1200.00", "11000.000"]) assert.deepEqual(await told(mhz), flags, mhz);
  });

  it("is nobody's where the kernel does not tell, and then nothing is shared", { skip }, async () => {
    const { path: model } = smallModel(folder.path), cacheDir = folder.join("cache"), file = folder.join("none");
    await prepareIn(cacheDir, model);
    writeFileSync(file, "processor : 0\n");
    const [loaded, asked, made, listed] = await inChild(cacheDir, [
      { do: "load", model },
      { do: "load", model, options: { shareWeights: "prepacked" } },
      { do: "prepare", model },
      { do: "list" },
    ], { through: otherProcessor(file) });
    const why = "the system does not tell what the processor can do";
    assert.deepEqual([loaded!.mode, loaded!.reason], ["off", why]);
    assert.deepEqual([asked!.mode, asked!.reason], ["off", why]);
    assert.deepEqual([made!.error?.code, made!.error?.message.endsWith(why)], ["NOT_SHAREABLE", true]);
    assert.equal(listed!.error, undefined, "copies are listed all the same");
  });
});

describe("external data", () => {
  const beside = (location: string): onnx.ITensorProto => ({
    name: location,
    dims: [4],
    dataType: DTYPES.float32,
    dataLocation: 1,
    externalData: [{ key: "offset", value: "0" }, { key: "location", value: location }],
  });

  const graphOf = (location: string): onnx.IGraphProto => ({ name: location, initializer: [beside(location)] });
  const sparse = (name: string): onnx.ISparseTensorProto => ({
    values: beside(`${name}-values`),
    indices: beside(`${name}-indices`),
    dims: [4],
  });

  const attributes: Readonly<Record<string, onnx.IAttributeProto>> = {
    "a branch": { name: "then_branch", type: GRAPH, g: graphOf("found") },
    "one of many graphs": { name: "graphs", type: GRAPHS, graphs: [graphOf("other"), graphOf("found")] },
    "a constant": { name: "value", type: TENSOR, t: beside("found") },
    "one of many constants": { name: "values", type: TENSORS, tensors: [beside("other"), beside("found")] },
    "a sparse constant": { name: "sparse", type: SPARSE_TENSOR, sparseTensor: sparse("found") },
    "a branch within a branch": {
      name: "body",
      type: GRAPH,
      g: {
        name: "body",
        node: [node("If", ["c"], ["y"], [{ name: "then_branch", type: GRAPH, g: graphOf("found") }])],
      },
    },
  };

  const X = value("x", "bool", []), Y = value("y", "float32", [4]);
  const modelOf = (nodes: onnx.INodeProto[], more: Partial<onnx.IModelProto> = {}): onnx.IModelProto => ({
    ...modelProto({ inputs: [X], outputs: [Y], nodes }),
    ...more,
  });

  function locationsIn(model: onnx.IModelProto | Uint8Array): string[] {
    const file = folder.join("scanned.onnx");
    writeFileSync(file, model instanceof Uint8Array ? model : ModelProto.encode(model).finish());
    return [...externalLocations(file, statSync(file).size)].sort();
  }

  for (const [where, attribute] of Object.entries(attributes)) {
    it(`is found in ${where}`, () => {
      const found = locationsIn(modelOf([node("If", ["x"], ["y"], [attribute])]));
      assert.ok(found.length > 0 && found.some((name) => name.startsWith("found")), found.join());
    });

    it(`is found in ${where} of a function`, () => {
      const inner = [node("If", ["x"], ["y"], [attribute])];
      const functions = [{ name: "f", domain: "own", input: ["x"], output: ["y"], node: inner }];
      const found = locationsIn(modelOf([node("f", ["x"], ["y"], [], "own")], { functions }));
      assert.ok(found.some((name) => name.startsWith("found")), found.join());
    });
  }

  it("is found in sparse weights", () => {
    const model = modelOf([]);
    model.graph!.sparseInitializer = [sparse("w")];
    assert.deepEqual(locationsIn(model), ["w-indices", "w-values"]);
  });

  it("is found behind what no model has today", () => {
    const model = modelOf([]);
    model.graph!.initializer = [beside("found")];
    const bytes = ModelProto.encode(model).finish(), group = [0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06]; // field 100
    assert.deepEqual(locationsIn(new Uint8Array([...bytes, ...group])), ["found"]);
    assert.deepEqual(locationsIn(new Uint8Array([...group, ...bytes])), ["found"]);
  });

  it("is none of what is no model", () => {
    assert.deepEqual(locationsIn(new Uint8Array([255, 255, 255])), []);
    assert.throws(() => operatorsOf(folder.join("scanned.onnx")), RangeError);
  });

  it("that a graph within a node has is part of what a copy is made of", async () => {
    const file = folder.join("branch.onnx"), weights = new Float32Array(1 << 18).fill(0.5);
    const big = (location: string): onnx.ITensorProto => ({ ...beside(location), name: "w", dims: [1 << 18] });
    const branch = (location: string): onnx.IGraphProto => ({
      name: location,
      output: [value("out", "float32", [1 << 18])],
      initializer: [big(location)],
      node: [node("Identity", ["w"], ["out"])],
    });
    const both = ["then", "else"].map((name) => ({ name: `${name}_branch`, type: GRAPH, g: branch(`${name}.bin`) }));
    const model = modelProto({
      inputs: [X],
      outputs: [value("y", "float32", [1 << 18])],
      nodes: [node("If", ["x"], ["y"], both)],
    });
    writeFileSync(file, ModelProto.encode(model).finish());
    for (const name of ["then.bin", "else.bin"]) writeFileSync(folder.join(name), new Uint8Array(weights.buffer));
    const cacheDir = folder.join("branches"), first = await prepareIn(cacheDir, file);
    assert.deepEqual(first.copy.manifest.fields.source.external.map(([name]) => name), ["else.bin", "then.bin"]);
    writeFileSync(folder.join("else.bin"), new Uint8Array(weights.fill(0.25).buffer));
    assert.notEqual((await prepareIn(cacheDir, file)).copy.key, first.copy.key);
  });
});
