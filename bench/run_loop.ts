/** Does a tight loop of runs whose results are never disposed fill the memory? mitata does not measure that. */
import { Child } from "./support/child.ts";
import { percentile } from "./support/contest.ts";
import { megabytes } from "./support/memory.ts";
import { atMost, type Bar, header, type Row, table } from "./support/report.ts";

const RUNS = 10_000, ELEMENTS = 65_536, OUTPUT = 4 * ELEMENTS;
/** The part of all results that may be there at once. */
const BOUND = 0.2;
/** By how much the second half of the loop may need more than the first. */
const GROWTH = 1.25;

/** Native outputs are for those who dispose of them: until finalizers get their turn, they are bounded by nothing. */
const WAYS = {
  run: "await run",
  runSync: "runSync, no turn of the event loop",
  native: "beside: await run, native outputs",
  keep: "control: await run, all kept",
};
const BARRED: readonly string[] = ["run", "runSync"];

async function measure(way: keyof typeof WAYS): Promise<Row> {
  using child = new Child(new URL("./children/run_loop.ts", import.meta.url));
  const found = await child.ask<number[]>("loop", way, RUNS, ELEMENTS), half = found.length / 2;
  const most = Math.max(...found), part = most / (RUNS * OUTPUT);
  const growth = Math.max(...found.slice(half)) / Math.max(...found.slice(0, half));
  const bars: Bar[] = BARRED.includes(way) ? [atMost(part, BOUND, " of all"), atMost(growth, GROWTH, " x")] : [];
  return {
    what: WAYS[way],
    "median MB": megabytes(percentile(found, 0.5)),
    "most MB": megabytes(most),
    "of all results": part,
    "second half over first": growth,
    bar: bars.map(({ bar }) => bar).join(", "),
    met: bars.map(({ met }) => met).join(", "),
  };
}

if (import.meta.main) {
  await header("Does a tight loop of runs whose results are never disposed fill the memory?");
  const rows: Row[] = [];
  for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) rows.push(await measure(way));
  const all = `${RUNS} runs of ${megabytes(OUTPUT)} MB each, ${megabytes(RUNS * OUTPUT)} MB in all`;
  table(`${all}: growth of PSS without pages of files`, rows);
}
