// Serves the models of a folder until its input ends: see ../worker_process.ts.
import { readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { ModelWorker } from "../../../src/worker/mod.ts";

const [socket, folder, executors] = process.argv.slice(2) as [string, string, string];
const files = readdirSync(folder).filter((file) => file.endsWith(".onnx"));
const models = Object.fromEntries(
  files.map((file) => [path.basename(file, ".onnx"), { path: path.join(folder, file), warmup: false }]),
);
const worker = await ModelWorker.serve({ models, socket, executors: Number(executors) });
console.log("READY");
process.stdin.resume().on("end", () => void worker[Symbol.asyncDispose]());
