/**
 * The demo: `deno task demo`, or `bun demo/main.ts`.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { capabilities } from "../mod.ts";
import { endChildren } from "./children.ts";
import { type DemoFiles, findFiles, packageCount } from "./files.ts";
import { handOverSteps, measureHandOver } from "./hand_over.ts";
import { decodePicture } from "./image.ts";
import { loopRounds, measureHits, measureLoop } from "./loop.ts";
import { measureMemory, type MemoryReport, memorySteps } from "./memory.ts";
import { help, type Options, parseOptions } from "./options.ts";
import { drawMemory } from "./picture/memory.ts";
import { drawSpeech } from "./picture/speech.ts";
import { drawText } from "./picture/text.ts";
import { nodeCount, type Results, runPipeline } from "./pipeline.ts";
import { heading, line, Progress } from "./print.ts";
import { reportHandOver, reportLoop, reportMemory, reportRegistry, reportResults } from "./report.ts";

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  endChildrenWithThis();
  let options: Options;
  try {
    options = parseOptions(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }
  await demonstrate(options);
  return 0;
}

async function demonstrate(options: Options): Promise<void> {
  const { files, library } = await withProgress("getting ready", packageCount + 1, async (step) => {
    const files = findFiles(options, step);
    const { library, problem } = await capabilities();
    if (!library) throw problem;
    step("onnxruntime");
    return { files, library };
  });
  const runtime = process.versions.bun ? `Bun ${process.versions.bun}` : `Deno ${process.versions.deno}`;
  heading("Coload", `onnxruntime ${library.version} on ${runtime}`);
  line(`${nodeCount} nodes listen to ${basename(files.speech)} and read ${basename(files.picture)}, all at once`);

  const results = await withProgress("pipeline", nodeCount, (step) => runPipeline(files, step));
  reportResults(results);
  reportRegistry();
  const loop = await withProgress("event loop", loopRounds, (step) => measureLoop(files, step));
  reportLoop(measureHits(files.detection), loop);

  reportHandOver(await withProgress("another process", handOverSteps, measureHandOver));

  const measurable = options.memory && existsSync("/proc/self/smaps_rollup");
  const memory = measurable ? await withProgress("memory", memorySteps, measureMemory) : undefined;
  if (memory) reportMemory(memory);

  heading("Pictures");
  for (const path of await writePictures(options.out, files, results, memory)) line(path);
}

async function withProgress<T>(
  title: string,
  total: number,
  work: (step: (what: string) => void) => Promise<T>,
): Promise<T> {
  using progress = new Progress(title, total);
  return await work((what) => progress.step(what));
}

async function writePictures(
  folder: string,
  files: DemoFiles,
  { heard, readers }: Results,
  memory: MemoryReport | undefined,
): Promise<string[]> {
  const bytes = await readFile(files.picture);
  const { width, height } = decodePicture(bytes);
  const pictures: [name: string, svg: string][] = [
    ["speech.svg", drawSpeech(heard)],
    ["text.svg", drawText({ bytes, width, height }, readers[0].lines)],
  ];
  if (memory) pictures.push(["memory.svg", drawMemory(memory)]);
  await mkdir(folder, { recursive: true });
  return await Promise.all(pictures.map(async ([name, svg]) => {
    const path = join(folder, name);
    await writeFile(path, svg);
    return path;
  }));
}

function endChildrenWithThis(): void {
  process.on("exit", endChildren);
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    process.once(signal, () => process.exit(code));
  }
}
