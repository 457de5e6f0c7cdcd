/** onnxruntime-node in a Node of its own: it reads `[action, ...args]` a line, and answers each with `{ value }`. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { InferenceSession, Tensor } from "onnxruntime-node";

const sessions = [];

const actions = {
  start() {},
  async load({ path, shape }) {
    const started = performance.now(), session = await InferenceSession.create(path, { logSeverityLevel: 4 });
    const loaded = performance.now(), size = shape.reduce((product, length) => product * length, 1);
    const feeds = { [session.inputNames[0]]: new Tensor("float32", new Float32Array(size).fill(0.5), shape) };
    await session.run(feeds);
    sessions.push({ session, feeds });
    return { loadMs: loaded - started, runMs: performance.now() - loaded };
  },
  async run(times) {
    for (let i = 0; i < times; i++) {
      for (const { session, feeds } of sessions) await session.run(feeds);
    }
    return actions.held();
  },
  held() {
    const pss = 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))[1]);
    return { pss, weights: 0 };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [action, ...args] = JSON.parse(line);
  console.log(JSON.stringify({ value: await actions[action](...args) ?? null }));
}
