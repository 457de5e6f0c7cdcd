import { Tensor } from "../../mod.ts";
import type { Python } from "../../src/python/mod.ts";
import { contest, type Contestant, ratio, type Result } from "../support/contest.ts";
import { atMost, type Row, table } from "../support/report.ts";

/** From 4 MiB on, NumPy puts its own arrays into huge pages, which are quicker whoever uses them. */
const LENGTH = 1 << 18, LARGE = 1 << 22, ROUNDS = 101, CALLS = 2, BAR = 1.05;

/** One call, timed alone: each takes hundreds of microseconds. */
function timing(name: string, call: () => void): Contestant {
  return {
    name,
    measure: () =>
      Promise.resolve(Array.from({ length: CALLS }, () => {
        const start = performance.now();
        call();
        return (performance.now() - start) * 1e6;
      })),
  };
}

/** NumPy's work on an array. */
function inPython(python: Python, name: string, array: Disposable, owned: DisposableStack): Contestant {
  const work = owned.use(python.eval("lambda array: __import__('numpy').negative(array, out=array) is None"));
  return timing(name, () => work.call([array])[Symbol.dispose]());
}

/** A loop's work on an array. */
function inJavaScript(name: string, array: Float32Array): Contestant {
  return timing(name, () => {
    for (let i = 0; i < array.length; i++) array[i] = -array[i]!;
  });
}

function row(what: string, shared: Result, own: Result, control: Result): Row {
  return {
    what,
    "own: p50 us": own.p50 / 1000,
    "control: own, x own": ratio(control, own),
    "shared, x own": ratio(shared, own),
    ...atMost(ratio(shared, own), BAR, " x own"),
  };
}

/** The contestants of NumPy's: on a tensor's memory, and twice on its own. */
function numpy(python: Python, length: number, owned: DisposableStack): Contestant[] {
  const make = owned.use(python.eval(`lambda: __import__("numpy").ones(${length}, "f4")`));
  const tensor = owned.use(Tensor.zeros("float32", [length], { storage: "native" }));
  tensor.data.fill(1);
  return [
    inPython(python, "shared", owned.use(python.toNumPy(tensor)), owned),
    inPython(python, "own", owned.use(make.call()), owned),
    inPython(python, "control", owned.use(make.call()), owned),
  ];
}

function typeScript(python: Python, owned: DisposableStack): Contestant[] {
  const array = owned.use(python.eval(`__import__("numpy").ones(${LENGTH}, "f4")`));
  const native = () => owned.use(Tensor.zeros("float32", [LENGTH], { storage: "native" })).data.fill(1);
  return [
    inJavaScript("shared", owned.use(python.fromPython(array)).as("float32").data),
    inJavaScript("own", native()),
    inJavaScript("control", native()),
  ];
}

/** Element-wise work on memory that the other language made, beside the same on one's own. */
export async function work(python: Python): Promise<void> {
  using owned = new DisposableStack();
  const measure = async (ways: Contestant[]) => await contest(ways, ROUNDS) as [Result, Result, Result];
  const { bar: _, met: __, ...large } = row(
    "beside: NumPy, 16 MiB, whose own lies in huge pages",
    ...await measure(numpy(python, LARGE, owned)),
  );
  table("element-wise work on 1 MiB of float32", [
    row("NumPy: negative, on a tensor's memory", ...await measure(numpy(python, LENGTH, owned))),
    row("TypeScript: a loop, on an array's memory", ...await measure(typeScript(python, owned))),
    large,
  ]);
}
