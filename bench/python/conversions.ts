import { Tensor } from "../../mod.ts";
import type { Python } from "../../src/python/mod.ts";
import { calling, contest, type Contestant, ratio, type Result } from "../support/contest.ts";
import { atMost, type Bar, type Row, table } from "../support/report.ts";
import { has } from "./support.ts";

const SIZES: Readonly<Record<string, number>> = {
  "1 KiB": 1024,
  "1 MiB": 2 ** 20,
  "100 MiB": 100 * 2 ** 20,
  "1 GiB": 2 ** 30,
};
const SMALL = "1 KiB", BAR_US = 15, SAME = 1.25;
const WAYS = {
  lock: "floor: None to null, with Python's lock",
  fromNumPy: "fromPython of a NumPy array, and dispose",
  toNumPy: "toNumPy, and dispose",
  fromTorch: "fromPython of a torch tensor, and dispose",
  toTorch: "toTorch, and dispose",
};

type Way = keyof typeof WAYS;

/** Each way with a tensor of some bytes. */
function contestants(python: Python, size: string, owned: DisposableStack): Contestant[] {
  const length = SIZES[size]! / 4, tensor = owned.use(Tensor.zeros("float32", [length], { storage: "native" }));
  const none = owned.use(python.eval("None"));
  const array = owned.use(python.eval(`__import__("numpy").zeros(${length}, "f4")`));
  const made: Contestant[] = [
    calling(`lock ${size}`, () => none.toJS()),
    calling(`fromNumPy ${size}`, () => python.fromPython(array)[Symbol.dispose]()),
    calling(`toNumPy ${size}`, () => python.toNumPy(tensor)[Symbol.dispose]()),
  ];
  if (!has(python, "torch")) return made;
  const theirs = owned.use(python.eval(`__import__("torch").zeros(${length})`));
  return [
    ...made,
    calling(`fromTorch ${size}`, () => python.fromPython(theirs)[Symbol.dispose]()),
    calling(`toTorch ${size}`, () => python.toTorch(tensor)[Symbol.dispose]()),
  ];
}

function bars(us: number, over: number): Bar {
  const bars = [atMost(us, BAR_US, " us"), atMost(over, SAME, ` x ${SMALL}`)];
  return { bar: bars.map(({ bar }) => bar).join(", "), met: bars.every(({ met }) => met === "yes") ? "yes" : "NO" };
}

function row(results: ReadonlyMap<string, Result>, way: Way): Row[] {
  const small = results.get(`${way} ${SMALL}`);
  if (small === undefined) return [];
  const all = Object.keys(SIZES).map((size) => results.get(`${way} ${size}`)!);
  const us = Object.fromEntries(Object.keys(SIZES).map((size, i) => [`${size}: p50 us`, all[i]!.p50 / 1000]));
  const over = Math.max(...all.map((result) => ratio(result, small)));
  const bar = way === "lock" ? undefined : bars(Math.max(...all.map(({ p50 }) => p50)) / 1000, over);
  return [{ what: WAYS[way], ...us, [`most, x ${SMALL}`]: over, ...bar }];
}

/** What conversions cost, by size. */
export async function conversions(python: Python): Promise<void> {
  using owned = new DisposableStack();
  const all = Object.keys(SIZES).flatMap((size) => contestants(python, size, owned));
  const results = new Map((await contest(all, 11, 15)).map((result) => [result.name, result]));
  table("conversions without a copy, by size", (Object.keys(WAYS) as Way[]).flatMap((way) => row(results, way)));
}
