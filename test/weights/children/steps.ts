// A process that loads and prepares models as its steps say, and prints what came of each: see support.ts.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { configure, InferenceSession, Tensor } from "../../../mod.ts";
import { ort, startOrt } from "../../../src/ort/environment.ts";
import { WeightsCache } from "../../../src/weights/cache.ts";
import { inventory, removeCopy } from "../../../src/weights/inventory.ts";
import { platform } from "../../../src/weights/key.ts";
import { processor } from "../../../src/weights/machine.ts";
import { prepareIn } from "../support.ts";
import type { Answer, Request, Step } from "./request.ts";

/** Bytes that this process has read, from files or pipes. */
const bytesRead = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))![1]);

async function load({ model, options = {} }: Extract<Step, { readonly do: "load" }>): Promise<Answer> {
  const before = bytesRead();
  await using session = await InferenceSession.create(model, options);
  const read = bytesRead() - before, width = session.inputs[0]!.shape[1] as number;
  const x = Tensor.from(Float32Array.from({ length: width }, (_, i) => i % 7 - 3), [1, width], "float32");
  const { y } = session.runSync({ x });
  const data = new Uint8Array((y!.data as Float32Array).slice().buffer);
  return { ...session.sharing, read, result: createHash("sha256").update(data).digest("hex") };
}

async function list(): Promise<Answer> {
  await startOrt();
  const cache = WeightsCache.locate();
  const entries = inventory(cache, await platform({ cache }));
  return { entries: entries.map(({ key, state, why = "" }) => ({ key, state, why })) };
}

function files(): Answer {
  const { root } = WeightsCache.locate();
  const names = existsSync(root) ? readdirSync(root, { recursive: true }).map(String) : [];
  return { files: names.map((name) => path.normalize(name)).sort() };
}

async function answer(step: Step): Promise<Answer> {
  try {
    switch (step.do) {
      case "load":
        return await load(step);
      case "prepare": {
        const { model, mode, options = {}, force = false } = step;
        const { copy, made } = await prepareIn(WeightsCache.locate().root, model, mode, { options, force });
        return { made, key: copy.key, refused: copy.manifest.refused ?? "" };
      }
      case "remove":
        await removeCopy(WeightsCache.locate(), step.key);
        return {};
      case "list":
        return await list();
      case "files":
        return files();
      case "library":
        await startOrt();
        return { library: ort().path };
      case "processor":
        return { features: processor()?.features ?? [] };
    }
  } catch (error) {
    const { name, code, message } = error as Error & { readonly code?: string };
    return { error: { name, code: code ?? "", message } };
  }
}

const { cacheDir, library, steps }: Request = JSON.parse(process.argv[2]!);
configure({ threads: 1, ...(cacheDir !== undefined && { cacheDir }), ...(library !== undefined && { library }) });
for (const step of steps) console.log(JSON.stringify(await answer(step)));
console.log("END");
