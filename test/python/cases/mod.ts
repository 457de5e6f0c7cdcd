import type { Python } from "../../../src/python/mod.ts";
import { ATTRIBUTES } from "./attributes.ts";
import { CODE } from "./code.ts";
import { FROM_PYTHON } from "./from_python.ts";
import { REFUSED } from "./refused.ts";
import { THREADS } from "./threads.ts";
import { TO_PYTHON } from "./to_python.ts";
import { TORCH } from "./torch.ts";
import { VALUES } from "./values.ts";
import { WORKERS } from "./workers.ts";

/** One thing that must be so, whatever NumPy there is. */
export type Case = (python: Python) => void | Promise<void>;
/** Cases by what they show. */
export type Cases = Readonly<Record<string, Case>>;

/** What runs in a process of each Python, by groups. */
export const CASES: Readonly<Record<string, Cases>> = {
  "code": CODE,
  "values": VALUES,
  "attributes and calls": ATTRIBUTES,
  "fromPython": FROM_PYTHON,
  "fromPython refuses": REFUSED,
  "toNumPy": TO_PYTHON,
  "threads": THREADS,
  "Workers": WORKERS,
};

/** What needs torch beside NumPy. */
export const TORCH_CASES: Readonly<Record<string, Cases>> = { torch: TORCH };
