/** Small models that a worker serves in these tests. */
import { writeFileSync } from "node:fs";
import type { ModelConfig } from "../../../src/worker/mod.ts";
import type { TemporaryFolder } from "../../cli/temporary_folder.ts";
import { add, identity, slow, state } from "../../support/models.ts";
import { DTYPES, encodeModel, floats, int64s, intAttribute, node, value } from "../../support/models/proto.ts";

/** What `gather` takes from. */
export const TABLE: Float32Array = Float32Array.from({ length: 64 }, (_, i) => i * 10);

const MODELS = {
  /** `c = a + b`, float32 `[4]`. */
  add: () => add({ shape: [4] }),
  /** `y[i] = TABLE[indices[i]]`: int64 and float32 `["K"]`. */
  gather: () =>
    encodeModel({
      inputs: [value("indices", "int64", ["K"])],
      outputs: [value("y", "float32", ["K"])],
      nodes: [node("Gather", ["table", "indices"], ["y"])],
    }, { initializers: [floats("table", [TABLE.length], TABLE)] }),
  /** `x` float32 `["N"]` as float64 `wide` and as uint8 `narrow`. */
  casts: () =>
    encodeModel({
      inputs: [value("x", "float32", ["N"])],
      outputs: [value("wide", "float64", ["N"]), value("narrow", "uint8", ["N"])],
      nodes: [
        node("Cast", ["x"], ["wide"], [intAttribute("to", DTYPES.float64)]),
        node("Cast", ["x"], ["narrow"], [intAttribute("to", DTYPES.uint8)]),
      ],
    }),
  /** Half of the numbers of `x`, float32 `[8192]`, the largest first. */
  largest: () =>
    encodeModel({
      inputs: [value("x", "float32", [8192])],
      outputs: [value("values", "float32", [4096]), value("indices", "int64", [4096])],
      nodes: [node("TopK", ["x", "half"], ["values", "indices"])],
    }, { initializers: [int64s("half", [1], [4096])] }),
  /** Two strings as they are. */
  strings: () => identity("string", [2]),
  slow: () => slow(),
  /** Keeps its state, which is a sum. */
  sum: () => state([4]),
};

/** The name of a model here. */
export type ModelName = keyof typeof MODELS;

/** Writes models into a folder, and returns how a worker serves them. */
export function writeModels(
  folder: TemporaryFolder,
  names: readonly ModelName[],
  config: Partial<ModelConfig> = {},
): Record<string, ModelConfig> {
  return Object.fromEntries(names.map((name) => {
    const path = folder.join(`${name}.onnx`);
    writeFileSync(path, MODELS[name]());
    const own = name === "sum" ? { state: { state: "next_state" } } : {};
    return [name, { path, warmup: name !== "slow", ...own, ...config }];
  }));
}
