// Registries whose listeners throw: see ../processes_test.ts.
import process from "node:process";
import { ModelRegistry } from "../../../mod.ts";

let thrown = 0;
process.on("uncaughtException", () => thrown++);
const registry = new ModelRegistry(), ask = () => registry.getOrLoad("a", () => ({ model: 1 }));
for (const type of ["load", "hit", "evict", "fail"] as const) {
  registry.addEventListener(type, () => {
    throw new Error(`a listener of "${type}"`);
  });
}
(await ask())[Symbol.dispose]();
(await ask())[Symbol.dispose]();
await registry.getOrLoad("b", () => Promise.reject(new Error("no"))).catch(() => {});
await registry.unload("a");
await new Promise((resolve) => setTimeout(resolve, 1));
const { loads, cacheHits, evictions, loadFailures } = registry.metrics();
console.log(JSON.stringify({ thrown, loads, cacheHits, evictions, loadFailures }));
console.log("END");
