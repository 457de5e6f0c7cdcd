// Opens a model for so many nodes, shared or each for itself, and prints this process's memory in bytes.
import process from "node:process";
import { InferenceSession, models } from "../../../mod.ts";
import { add } from "../../support/models.ts";
import { writtenBytes } from "../../support/memory.ts";

const [path, sharing, nodes] = process.argv.slice(2), held: InferenceSession[] = [await InferenceSession.create(add())];
for (let node = 0; node < Number(nodes); node++) {
  held.push(sharing === "shared" ? await models.load(path!) : await InferenceSession.create(path!));
}
console.log(writtenBytes());
for (const session of held) session[Symbol.dispose]();
console.log("END");
