import assert from "node:assert/strict";
import { LibraryError, PythonError } from "../../../src/errors.ts";
import { Python } from "../../../src/python/mod.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";

/** The error that code raises. */
function raised(work: () => unknown): PythonError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof PythonError, String(error));
    return error;
  }
  throw new Error("it raised nothing");
}

/** Statements, expressions, modules, exceptions. */
export const CODE: Cases = {
  "statements run and expressions have values, in one module"(python) {
    python.exec("def double(x):\n  return 2 * x\n\nbase = 21");
    using value = python.eval(" double(base) ");
    assert.equal(value.toJS(), 42);
    assert.equal(value.disposed, false);
  },

  "text may be any, also with characters that C ends at"(python) {
    const text = "a\0b \u{1F40D} ä \uFEFF";
    using value = python.eval(JSON.stringify(text).replace(/\\u0000/, "\\x00")), empty = python.eval("''");
    assert.deepEqual([value.toJS(), empty.toJS()], [text, ""]);
  },

  "modules are imported by their full names"(python) {
    using path = python.import("os.path"), join = path.get("join"), joined = join.call(["a", "b"]);
    assert.equal(joined.toJS(), "a/b");
    const error = raised(() => python.import("no_such_module"));
    assert.deepEqual([error.type, error.code, error.name], ["ModuleNotFoundError", "PYTHON", "PythonError"]);
    assert.match(error.message, /^Cannot import no_such_module: ModuleNotFoundError: No module named/);
  },

  "an exception has its type, message and traceback, with the lines of the code"(python) {
    const error = raised(() => python.exec("def fail(x):\n  return 1 / x\n\nfail(0)"));
    assert.equal(error.type, "ZeroDivisionError");
    assert.equal(error.message, "Cannot run Python: ZeroDivisionError: division by zero");
    assert.match(error.traceback, /line 4, in <module>\n +fail\(0\)\n(.|\n)*line 2, in fail\n +return 1 \/ x\n/);
    assert.ok(!error.traceback.includes("_coload"));
  },

  "an exception is called by its module, unless that is builtins"(python) {
    assert.equal(raised(() => python.eval("__import__('json').loads('{')")).type, "json.decoder.JSONDecodeError");
    assert.equal(raised(() => python.eval("1 +")).type, "SyntaxError");
    assert.equal(raised(() => python.exec("raise KeyError")).message, "Cannot run Python: KeyError");
    const odd = "class Odd(Exception):\n  def __str__(self): raise ValueError\n\nraise Odd";
    assert.match(raised(() => python.exec(odd)).message, /Odd: its message cannot be had/);
    assert.match(raised(() => python.exec("raise ValueError('\\ud800')")).message, /ValueError: \?$/);
  },

  "sys.exit raises, and ends nothing"(python) {
    for (const code of ["import sys; sys.exit(3)", "exit()", "raise SystemExit", "raise KeyboardInterrupt"]) {
      assert.match(raised(() => python.exec(code)).type, /SystemExit|KeyboardInterrupt/);
    }
  },

  "who opens again has the same Python, and nobody another"(python) {
    assert.equal(Python.open(), python);
    assert.equal(Python.open({ executable: python.executable, library: python.library }), python);
    assert.match(python.version, /^3\.\d+\.\d+$/);
    const another = () => Python.open({ executable: "/no/such/python" });
    assert.throws(another, LibraryError);
    assert.throws(() => Python.open({ executable: 1 as unknown as string }), failure("TypeError", "INVALID_ARGUMENT"));
  },

  "code must be text"(python) {
    const wrong = 1 as unknown as string, error = failure("TypeError", "INVALID_ARGUMENT");
    for (const work of [() => python.exec(wrong), () => python.eval(wrong), () => python.import(wrong)]) {
      assert.throws(work, error);
    }
    return assert.rejects(python.run(wrong), error);
  },
};
