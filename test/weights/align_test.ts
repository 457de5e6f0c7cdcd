import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import onnxProto, { type onnx } from "onnx-proto";
import { startOrt } from "../../src/ort/environment.ts";
import { alignWeights } from "../../src/weights/align.ts";
import { nothingLeft } from "../support/left.ts";
import { DTYPES, modelProto, node, value } from "../support/models/proto.ts";
import { prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const { ModelProto, AttributeProto } = onnxProto.onnx;
const { GRAPH, GRAPHS, TENSOR, TENSORS } = AttributeProto.AttributeType;

/** Where bytes lie in a data file. */
interface Piece {
  readonly offset: number;
  readonly length: number;
}

/** All tensors of a graph that lie in a data file, also those of the graphs and tensors in its nodes. */
function externalTensors({ initializer, node: nodes }: onnx.IGraphProto): onnx.ITensorProto[] {
  const attributes = (nodes ?? []).flatMap(({ attribute }) => attribute ?? []);
  const inside = attributes.flatMap(({ t, tensors, g, graphs }) => [
    ...[t ?? [], tensors ?? []].flat(),
    ...[g ?? [], graphs ?? []].flat().flatMap(externalTensors),
  ]);
  return [...initializer ?? [], ...inside].filter(({ externalData }) => externalData && externalData.length > 0);
}

/** Where a tensor's bytes lie, and then those that are laid out for computing. */
function piecesOf({ externalData }: onnx.ITensorProto): Piece[] {
  const entries: Record<string, string> = Object.fromEntries(externalData!.map(({ key, value }) => [key, value]));
  const packed = Object.entries(entries).filter(([key]) => key.startsWith("prepacked")).flatMap(([, value]) =>
    value.split("|").slice(1).map((blob) => {
      const [offset, length] = blob.split(";").map(Number);
      return { offset: offset!, length: length! };
    })
  );
  return [{ offset: Number(entries.offset), length: Number(entries.length) }, ...packed];
}

const decode = (file: string): onnx.ModelProto => ModelProto.decode(readFileSync(file));
const bytesAt = (data: Uint8Array, { offset, length }: Piece): Uint8Array => data.subarray(offset, offset + length);

afterEach(nothingLeft);

describe("a prepared copy", () => {
  for (const mode of ["prepacked", "mapped"] as const) {
    for (const external of [false, true]) {
      it(`has its weights at multiples of 256, unchanged: ${mode}, ${external ? "beside" : "inside"} the model`, async () => {
        using folder = scratchFolder();
        const { path, dataPath, tensors } = smallModel(folder.path, { byteLength: 2_012_345, layers: 7, external });
        const { copy: { directory } } = await prepareIn(folder.join("cache"), path, mode);
        const data = readFileSync(`${directory}/model.data`), source = readFileSync(dataPath ?? path);
        const found = externalTensors(decode(`${directory}/model.onnx`).graph!);
        assert.equal(found.length, 7);
        for (const tensor of found) {
          const pieces = piecesOf(tensor), { offset, byteLength } = tensors.find(({ name }) => name === tensor.name)!;
          for (const { offset, length } of pieces) {
            assert.equal(offset % 256, 0, `${tensor.name} at ${offset}`);
            assert.ok(length > 0 && offset + length <= data.length);
          }
          assert.equal(pieces.length, mode === "prepacked" ? 2 : 1);
          assert.deepEqual(bytesAt(data, pieces[0]!), source.subarray(offset, offset + byteLength));
        }
        const all = found.flatMap(piecesOf).sort((a, b) => a.offset - b.offset);
        all.slice(1).forEach(({ offset }, i) => assert.ok(offset >= all[i]!.offset + all[i]!.length, "pieces overlap"));
      });
    }
  }
});

describe("aligning", () => {
  /** A tensor whose bytes lie there, and what is laid out for computing elsewhere. */
  function tensor(
    name: string,
    { offset, length }: Piece,
    packed: readonly (readonly Piece[])[] = [],
  ): onnx.ITensorProto {
    const entries: [string, string][] = [["location", "model.data"], ["offset", `${offset}`], ["length", `${length}`]];
    packed.forEach((blobs, i) => {
      entries.push([`prepacked_${i}`, [`key${i}`, ...blobs.map((at) => `${at.offset};${at.length};99`)].join("|")]);
    });
    const externalData = entries.map(([key, value]) => ({ key, value }));
    return { name, dims: [length], dataType: DTYPES.uint8, dataLocation: 1, externalData };
  }

  /** Writes a model of these tensors, in its graph and in the graphs and attributes of a node, and random bytes. */
  function write(folder: ScratchFolder, parts: {
    readonly initializers?: onnx.ITensorProto[];
    readonly inGraphs?: onnx.ITensorProto[];
    readonly inAttributes?: onnx.ITensorProto[];
  }): { readonly data: Uint8Array; readonly model: onnx.ModelProto } {
    const { initializers = [], inGraphs = [], inAttributes = [] } = parts;
    const [one, other] = inGraphs.map((tensor) => ({ name: "inner", initializer: [tensor] }));
    const attribute: onnx.IAttributeProto[] = [
      ...one ? [{ name: "g", type: GRAPH, g: one }] : [],
      ...other ? [{ name: "graphs", type: GRAPHS, graphs: [other] }] : [],
      ...inAttributes[0] ? [{ name: "t", type: TENSOR, t: inAttributes[0] }] : [],
      ...inAttributes[1] ? [{ name: "tensors", type: TENSORS, tensors: inAttributes.slice(1) }] : [],
    ];
    const nodes = [node("If", ["x"], ["y"], attribute)];
    const graph = { inputs: [value("x", "bool", [])], outputs: [value("y", "uint8", [])], nodes };
    const model = modelProto(graph, { initializers, header: { docString: "kept" } });
    writeFileSync(folder.join("model.onnx"), ModelProto.encode(model).finish());
    const data = randomBytes(10_000);
    writeFileSync(folder.join("model.data"), data);
    return { data, model: decode(folder.join("model.onnx")) };
  }

  /** The model but for where its bytes lie. */
  function withoutPlaces(model: onnx.ModelProto): unknown {
    const copy = ModelProto.decode(ModelProto.encode(model).finish());
    for (const { externalData } of externalTensors(copy.graph!)) {
      for (const entry of externalData!) {
        if (entry.key === "offset") entry.value = "";
        if (entry.key!.startsWith("prepacked")) entry.value = entry.value!.replaceAll(/\|\d+;/g, "|;");
      }
    }
    return copy.toJSON();
  }

  async function aligns(parts: Parameters<typeof write>[1]): Promise<Piece[]> {
    await startOrt(); // whose threads copy
    using folder = scratchFolder();
    const { data, model } = write(folder, parts);
    await alignWeights(folder.path, undefined);
    const after = decode(folder.join("model.onnx")), moved = readFileSync(folder.join("model.data"));
    assert.deepEqual(withoutPlaces(after), withoutPlaces(model));
    const [from, to] = [model, after].map(({ graph }) => externalTensors(graph!).flatMap(piecesOf));
    for (const [i, piece] of to!.entries()) {
      assert.equal(piece.offset % 256, 0);
      assert.deepEqual(bytesAt(moved, piece), bytesAt(data, from![i]!), `piece ${i}`);
    }
    return to!;
  }

  it("moves what lies at odd addresses, wherever in a model, and nothing else", async () => {
    const at = (offset: number, length: number): Piece => ({ offset, length });
    const placed = await aligns({
      initializers: [tensor("a", at(256, 100)), tensor("b", at(356, 77), [[at(433, 51), at(484, 9)], [at(512, 10)]])],
      inGraphs: [tensor("c", at(1001, 33)), tensor("d", at(1034, 1))],
      inAttributes: [tensor("e", at(2001, 400)), tensor("f", at(2401, 3)), tensor("g", at(2404, 5))],
    });
    assert.equal(placed[0]!.offset, 256);
    assert.ok(placed.some(({ offset }) => offset === 512));
    assert.equal(new Set(placed.map(({ offset }) => offset)).size, placed.length);
  });

  it("leaves what is shared shared", async () => {
    const piece = { offset: 77, length: 300 };
    const [one, other] = await aligns({ initializers: [tensor("a", piece), tensor("b", piece)] });
    assert.deepEqual(one, other);
  });

  it("keeps apart what begins at one place and is of another length", async () => {
    const [none, some, more] = [0, 300, 400].map((length) => ({ offset: 77, length }));
    await aligns({ initializers: [tensor("a", none!), tensor("b", some!), tensor("c", more!)] });
  });

  it("touches no file where all lies well", async () => {
    await startOrt();
    using folder = scratchFolder();
    const { data } = write(folder, { initializers: [tensor("a", { offset: 512, length: 9 })] });
    const model = readFileSync(folder.join("model.onnx"));
    await alignWeights(folder.path, undefined);
    assert.deepEqual(readFileSync(folder.join("model.onnx")), model);
    assert.deepEqual(readFileSync(folder.join("model.data")), data);
  });

  it("stops when the signal aborts, and has not rewritten the model", async () => {
    await startOrt();
    using folder = scratchFolder();
    write(folder, { initializers: [tensor("a", { offset: 77, length: 9 })] });
    const model = readFileSync(folder.join("model.onnx")), reason = new Error("enough");
    await assert.rejects(alignWeights(folder.path, AbortSignal.abort(reason)), reason);
    assert.deepEqual(readFileSync(folder.join("model.onnx")), model);
  });
});
