// Imports the module and does nothing with it: see imports_test.ts.
import { readFileSync } from "node:fs";
import process from "node:process";
import * as coload from "../../mod.ts";

if (Object.keys(coload).length === 0) throw new Error("nothing is exported");
if (process.argv[2] === "maps") {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  console.log(`${lines.filter((line) => /onnxruntime|coload/.test(line)).length} mappings of onnxruntime`);
}
console.log("END");
