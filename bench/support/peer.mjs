/**
 * The peer: onnxruntime-node in a Node of its own, because it crashes in Bun. It reads one JSON message a line and
 * answers each with one.
 */
import { createInterface } from "node:readline";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { timeGroups } from "./timing.mjs";

const sessions = new Map();

function tensors(specs) {
  return Object.fromEntries(specs.map(({ name, dtype, shape, values }) => {
    const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
    return [name, new Tensor(dtype, data, shape)];
  }));
}

const commands = {
  async open({ model, threads }) {
    const options = { intraOpNumThreads: threads, logSeverityLevel: 4 };
    const session = await InferenceSession.create(model.path, options);
    sessions.set(model.name, { session, feeds: tensors(model.inputs), outputs: tensors(model.outputs) });
  },
  async measure({ name, given, budgetMs }) {
    const { session, feeds, outputs } = sessions.get(name);
    return await timeGroups(given ? () => session.run(feeds, outputs) : () => session.run(feeds), budgetMs);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  console.log(JSON.stringify({ value: await commands[command](options) ?? null }));
}
