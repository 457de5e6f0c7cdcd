/**
 * Which operators' weights can processes share, and what does that cost? Each model in real processes of this runtime.
 * What a process holds and how two sessions compare in turn is nothing that mitata measures. Words after the script's
 * name choose the models whose names begin with one of them.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { type OperatorName, OPERATORS } from "../test/support/models.ts";
import type { Sizes } from "../test/support/operator_feeds.ts";
import type { Sharing } from "../mod.ts";
import type { Compared, Operator, Way } from "./children/weights_operators.ts";
import { Child } from "./support/child.ts";
import { percentile } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { megabytes } from "./support/memory.ts";
import { atLeast, header, type Row, table } from "./support/report.ts";

/** Of the weights of the models that the tests use: 20 to 50 MB. */
const FACTOR = 16, OF_MANY = 8;
const SLOWEST = 0.93;
const FEW: Sizes = { batch: 1, sequence: 4, height: 8, width: 8, length: 32 };
const MANY: Sizes = { batch: 3, sequence: 21, height: 8, width: 8, length: 32 };

/** A process with a cache. */
async function start(cacheDir: string): Promise<Child> {
  const child = new Child(new URL("./children/weights_operators.ts", import.meta.url));
  await child.ask("start", cacheDir);
  return child;
}

async function ask<T>(cacheDir: string, ...what: [action: string, ...args: unknown[]]): Promise<T> {
  using child = await start(cacheDir);
  return await child.ask<T>(...what);
}

const tail = ({ plain, shared }: Compared): number => percentile(plain, 0.99) / percentile(shared, 0.99);

async function measure(name: OperatorName, folder: ScratchFolder): Promise<{ row: Row; why?: string }> {
  const { bytes, inputs } = OPERATORS[name](/many|each/.test(name) ? OF_MANY : FACTOR);
  const operator: Operator = { path: folder.join("operator.onnx"), inputs }, cacheDir = folder.join("cache");
  writeFileSync(operator.path, bytes);
  const { mode, reason } = await ask<Sharing>(cacheDir, "prepare", operator);
  const row = { operator: name, "model MB": megabytes(bytes.length), shared: mode === "off" ? "no" : "yes" };
  if (mode === "off") return { row, why: reason };
  const hold = (way: Way): Promise<number> => ask<number>(cacheDir, "hold", operator, way, FEW);
  const plain = await hold("off"), shared = await hold("prepacked");
  const loads = await ask<number>(cacheDir, "loads", operator);
  const [few, many] = await ask<[Compared, Compared]>(cacheDir, "runs", operator, [FEW, MANY]);
  return {
    row: {
      ...row,
      "own memory, plain MB": megabytes(plain),
      "prepacked MB": megabytes(shared),
      "load, x plain": loads,
      "run of few ms": percentile(few.plain, 0.5),
      "speed, x plain": few.ratio,
      "p99, x plain": tail(few),
      "run of many ms": percentile(many.plain, 0.5),
      " speed, x plain": many.ratio,
      " p99, x plain": tail(many),
      "bit-equal": few.equal && many.equal ? "yes" : "NO",
      ...atLeast(Math.min(few.ratio, many.ratio), SLOWEST, " x"),
    },
  };
}

if (import.meta.main) {
  await header("Which operators' weights can processes share, and what does that cost?");
  using folder = new ScratchFolder();
  const chosen = process.argv.slice(2).filter((word) => !word.startsWith("--"));
  const names = (Object.keys(OPERATORS) as OperatorName[])
    .filter((name) => chosen.length === 0 || chosen.some((word) => name.startsWith(word)));
  const rows: Row[] = [], refused: Row[] = [];
  for (const name of names) {
    const { row, why } = await measure(name, folder);
    if (why === undefined) rows.push(row);
    else refused.push({ ...row, why });
  }
  table("prepacked weights beside plain ones, 1 thread; few: batch 1, many: batch 3 and longer sequences", rows);
  if (refused.length > 0) table("not shared, so as fast as ever", refused);
}
