// Terminates Workers in the middle of what they do with the process's registry, and says what is left.
import { writeFileSync } from "node:fs";
import process from "node:process";
import { models } from "../../../mod.ts";
import { liveHandles } from "../../../src/handle.ts";
import { slow } from "../../support/models.ts";
import { slowFeeds } from "../../support/sessions.ts";
import { ModelFolder, until } from "../fixtures.ts";
import { RegistryWorker } from "../registry_worker.ts";

const [what, rounds] = [process.argv[2]!, Number(process.argv[3])], AT_ONCE = 4;

using folder = new ModelFolder();
const shared = folder.join("slow.onnx"), long = folder.model("long.onnx", 4000);
writeFileSync(shared, slow());
const session = await models.load(shared);

async function busy(): Promise<RegistryWorker> {
  const worker = new RegistryWorker();
  await worker.ask("load", shared);
  if (what === "terminate running") await worker.ask("run");
  if (what === "terminate loading") worker.tell("begin", long);
  if (what === "terminate loading") await until("it is being loaded", () => models.list().length > 1);
  return worker;
}

for (let round = 0; round < rounds; round += AT_ONCE) {
  const workers = await Promise.all(Array.from({ length: AT_ONCE }, busy));
  workers.forEach((worker) => worker.terminate());
  if (session.runSync(slowFeeds(5)).y!.data[5] !== 0) throw new Error("the main thread's session is broken");
  await until("their shares are given back", async () => {
    await models.evictExpired();
    return models.list().every(({ referenceCount, state }, i) => state === "ready" && referenceCount === (i ? 0 : 1));
  });
  await models.unload(long);
}
session[Symbol.dispose]();
await models.clear();
console.log(`left ${JSON.stringify(liveHandles())} ${JSON.stringify(models.list())}`);
console.log("END");
