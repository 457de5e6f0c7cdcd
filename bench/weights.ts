/**
 * What do weights that processes share save, and what do they cost? Real processes of both runtimes. Options:
 * `--bytes=2e8` for a smaller model; `--only=memory,inside,load,throughput,prepare` and `--runtime=deno` for a part;
 * `--picture` to draw src/weights/weights.svg, `--picture=FOUND.json` to keep what it is drawn from too.
 */
import { writeFileSync } from "node:fs";
import { arch, cpus, totalmem, type } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ort } from "../src/ort/environment.ts";
import { type RuntimeName, RUNTIMES } from "./support/child.ts";
import { ScratchFolder } from "./support/ending.ts";
import { header } from "./support/report.ts";
import { together } from "./weights/held.ts";
import { measureInside } from "./weights/inside.ts";
import { measureLoads } from "./weights/load.ts";
import { measureMemory, measureMixed, type Steps } from "./weights/memory.ts";
import { prepareCopies, writeModels } from "./weights/models.ts";
import { drawPicture, type PictureBar, type PictureData } from "./weights/picture.ts";
import { measurePrepare } from "./weights/prepare.ts";
import { measureThroughput } from "./weights/throughput.ts";

const BYTES = 1.43e9, PARTS = ["memory", "inside", "load", "throughput", "prepare"] as const;
const PICTURE = fileURLToPath(new URL("../src/weights/weights.svg", import.meta.url));

/** What follows `--name=`; empty where nothing does. */
function option(name: string): string | undefined {
  const found = process.argv.find((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  return found?.slice(`--${name}=`.length);
}

/** What a list names. */
function chosen<T extends string>(name: string, all: readonly T[]): readonly T[] {
  const wanted = option(name)?.split(","), unknown = wanted?.find((one) => !all.includes(one as T));
  if (unknown !== undefined) throw new Error(`--${name}: ${all.join(", ")} wanted, ${unknown} found`);
  return all.filter((one) => wanted?.includes(one) ?? true);
}

function barsOf(results: ReadonlyMap<string, Steps>): PictureBar[] {
  return [4, 8].flatMap((count) =>
    ["plain", "prepacked", "mapped"].map((way) => {
      const { idle } = results.get(way)!.get(count)!;
      return { way, shared: together(idle).weights, each: idle.map(({ pss, weights }) => pss - weights) };
    })
  );
}

function draw(byteLength: number, runtimes: PictureData["runtimes"], keep: string): void {
  const cores = cpus(),
    data: PictureData = {
      byteLength,
      machine: `${cores.length} x ${cores[0]?.model ?? "?"} ${arch()}, ${
        Math.round(totalmem() / 2 ** 30)
      } GiB, ${type()}`,
      versions: `onnxruntime ${ort().version}`,
      date: new Date().toISOString().slice(0, 10),
      runtimes,
    };
  if (keep !== "") writeFileSync(keep, JSON.stringify(data, null, 2) + "\n");
  writeFileSync(PICTURE, drawPicture(data));
}

if (import.meta.main) {
  const byteLength = Number(option("bytes") ?? BYTES), picture = option("picture");
  const parts = chosen("only", PARTS), runtimes = chosen<RuntimeName>("runtime", RUNTIMES);
  await header("What do weights that processes share save, and what do they cost?");
  using folder = new ScratchFolder();
  const models = writeModels(folder, byteLength), drawn: PictureData["runtimes"][number][] = [];
  if (parts.some((part) => part !== "prepare")) await prepareCopies(models, runtimes[0]!);
  for (const runtime of runtimes) {
    if (parts.includes("memory")) {
      drawn.push({ runtime, bars: barsOf(await measureMemory(models, runtime)) });
    }
    if (parts.includes("inside")) await measureInside(models, runtime);
    if (parts.includes("load")) await measureLoads(models, runtime);
    if (parts.includes("throughput")) await measureThroughput(models, runtime);
    if (parts.includes("prepare")) await measurePrepare(models, runtime);
  }
  if (parts.includes("memory") && runtimes.length > 1) await measureMixed(models, runtimes);
  if (picture !== undefined && drawn.length > 0) draw(byteLength, drawn, picture);
}
