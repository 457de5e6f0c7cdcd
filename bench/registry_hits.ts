/** What does it cost to ask for a model that is there, and does that hang on how many are? */
import { writeFileSync } from "node:fs";
import { add } from "../test/support/models.ts";
import { Child } from "./support/child.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { atMost, type Bar, header, remark, type Row, table } from "./support/report.ts";

const COUNTS = [1, 100, 10_000];
const GET_US = 0.4, LOAD_US = 12;
const WAYS = {
  map: "Map.get and a new object, one key",
  mapInTurn: "Map.get and a new object, all keys in turn",
  get: "models.get and dispose, one model",
  getInTurn: "models.get and dispose, all models in turn",
  load: "await models.load and dispose, one model",
  loadInTurn: "await models.load and dispose, all models in turn",
};

type Way = keyof typeof WAYS;

function contestant(child: Child, way: Way, count: number): Contestant {
  return { name: `${way} ${count}`, measure: (budgetMs) => child.ask("measure", way, budgetMs) };
}

function bar(way: Way, us: number): Bar | undefined {
  if (way.startsWith("map")) return undefined;
  return atMost(us, way.startsWith("get") ? GET_US : LOAD_US, " us p50");
}

function row(results: ReadonlyMap<string, Result>, way: Way, count: number): Row {
  const result = results.get(`${way} ${count}`)!, us = result.p50 / 1000;
  const overOne = ratio(result, results.get(`${way} ${COUNTS[0]}`)!);
  return {
    what: WAYS[way],
    models: count,
    "p50 us": us,
    "p99 us": result.p99 / 1000,
    "x one": overOne,
    ...bar(way, us),
  };
}

if (import.meta.main) {
  await header("What does it cost to ask for a model that is there, and does that hang on how many are?");
  using folder = new ScratchFolder();
  using children = new DisposableStack();
  const paths = Array.from({ length: Math.max(...COUNTS) }, (_, i) => folder.join(`model-${i}.onnx`));
  for (const path of paths) writeFileSync(path, add());
  const contestants: Contestant[] = [];
  for (const count of COUNTS) {
    const child = children.use(new Child(new URL("./children/hits.ts", import.meta.url))), started = performance.now();
    const held = await child.ask<number>("hold", paths.slice(0, count));
    if (held !== count) throw new Error(`${count} models were loaded, and the registry has ${held}`);
    remark(`${count} sessions loaded in ${Math.round(performance.now() - started)} ms`);
    for (const way of Object.keys(WAYS) as Way[]) contestants.push(contestant(child, way, count));
  }
  const results = new Map((await contest(contestants)).map((result) => [result.name, result]));
  const rows = (Object.keys(WAYS) as Way[]).flatMap((way) => COUNTS.map((count) => row(results, way, count)));
  table("a hit", rows);
}
