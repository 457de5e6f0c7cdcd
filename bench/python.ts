/**
 * What does it cost that Python and TypeScript use the same memory? Conversions by size, work on shared memory beside
 * work on one's own, what many conversions leave, and attaching from another process of Python.
 *
 * The Python is that of COLOAD_PYTHON, or python3 on PATH; it has NumPy, and torch if that is to be measured.
 */
import { attach } from "./python/attach.ts";
import { conversions } from "./python/conversions.ts";
import { leftOver } from "./python/left_over.ts";
import { work } from "./python/work.ts";
import { has, openWithNumPy } from "./python/support.ts";
import { header, remark } from "./support/report.ts";

if (import.meta.main) {
  await header("What does it cost that Python and TypeScript use the same memory?");
  const python = openWithNumPy();
  using version = python.eval("__import__('numpy').__version__");
  remark(`Python ${python.version}, NumPy ${version}${has(python, "torch") ? ", torch" : ""}\n`);
  await leftOver(python);
  await conversions(python);
  await work(python);
  attach(python);
}
