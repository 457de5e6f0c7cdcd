// Sweeps in a thread that cannot have onnxruntime, which another one has used and died of: see ../sweep_test.ts.
import { rmSync, symlinkSync } from "node:fs";
import process from "node:process";
import { configure, models } from "../../../mod.ts";
import { locateOnnxRuntime } from "../../../src/ort/locate.ts";
import { ModelFolder, next } from "../fixtures.ts";
import { RegistryWorker } from "../registry_worker.ts";

using folder = new ModelFolder();
const library = folder.join("libonnxruntime.so");
symlinkSync(locateOnnxRuntime({}).path, library);
configure({ library });
const worker = new RegistryWorker();
models.list(); // from now on this thread sweeps
worker.tell("begin", folder.model("a.onnx", 3000));
await worker.reached("create");
rmSync(library);
worker.terminate();
for (let i = 0; i < 2; i++) {
  const { key, error } = await next(models, "fail");
  console.log(key === folder.join("a.onnx"), (error as { code: string }).code);
}
console.log("END");
process.exit(0);
