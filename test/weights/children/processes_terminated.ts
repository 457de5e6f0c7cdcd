// Prepares a model in Workers that are terminated in each phase of that, then here, and prints what came of it; or in one
// Worker alone, and stays: see
// ../killed_test.ts.
import { readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { prepareIn } from "../support.ts";

if (isMainThread) {
  const [model, folder, stays] = process.argv.slice(2) as [string, string, string | undefined];
  for (const phase of stays ? [stays] : ["digest", "reference", "convert", "pack", "verify"]) {
    const cache = path.join(folder, phase), workerData = [model, cache, phase];
    const worker = new Worker(new URL(import.meta.url), { workerData });
    await new Promise((resolve) => worker.once("message", resolve));
    await worker.terminate();
    if (stays) break;
    const { made, copy: { manifest } } = await prepareIn(cache, model);
    const names = (name: string): string[] => readdirSync(path.join(cache, "weights", name));
    console.log(phase, made, manifest.refused ?? "shared", names("entries").length, names("work").length);
  }
  console.log("END");
  if (stays) process.stdin.on("end", () => process.exit()).resume(); // and does nothing
} else {
  const [model, cache, phase] = workerData;
  await prepareIn(cache, model, "prepacked", {
    onPhase: (name) => name === phase && parentPort!.postMessage(name),
  });
}
