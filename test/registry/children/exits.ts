// Exits in the middle of what it does with models: see ../processes_test.ts.
import process from "node:process";
import { models } from "../../../mod.ts";
import { manyNodes } from "../../support/models.ts";
import { ModelFolder, until } from "../fixtures.ts";
import { RegistryWorker } from "../registry_worker.ts";

const what = process.argv[2]!, folder = new ModelFolder(), file = folder.model("a.onnx"), worker = new RegistryWorker();
await models.load(file);
await worker.ask("load", file);
if (what === "loading") void models.load(manyNodes(10_000), { key: "long" });
if (what === "waiting") worker.tell("begin", folder.model("long.onnx", 10_000));
if (what !== "loaded") await until("it is being loaded", () => models.list().length > 1);
if (what === "waiting") void models.load(folder.join("long.onnx"));
folder[Symbol.dispose]();
console.log("END");
process.exit(7);
