// Imports the module and does nothing with it: see imports_test.ts.
import { readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import * as coload from "../../mod.ts";

if (Object.keys(coload).length === 0) throw new Error("nothing is exported");
if (process.argv[2] === "maps") {
  const names = readFileSync("/proc/self/maps", "utf8").split("\n").map((line) => path.basename(line));
  console.log(`${names.filter((name) => /onnxruntime|coload/.test(name)).length} mappings of onnxruntime`);
}
console.log("END");
