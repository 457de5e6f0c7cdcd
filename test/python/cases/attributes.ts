import assert from "node:assert/strict";
import { inspect } from "node:util";
import { PythonError } from "../../../src/python/mod.ts";
import { collectUntil } from "../../support/gc.ts";
import { left } from "../../support/left.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";

const ofType = (type: string) => (error: unknown): boolean => error instanceof PythonError && error.type === type;

/** What a value of Python's can do. */
export const ATTRIBUTES: Cases = {
  "attributes are read and set"(python) {
    using type = python.eval("type('Thing', (), {})"), thing = type.call();
    thing.set("size", [1, 2]);
    thing.set("other", type);
    using size = thing.get("size"), other = thing.get("other"), name = other.get("__name__");
    assert.deepEqual([size.toJS(), name.toJS()], [[1, 2], "Thing"]);
    assert.throws(() => thing.get("missing"), ofType("AttributeError"));
    using number = python.eval("1");
    assert.throws(() => number.set("x", 1), ofType("AttributeError"));
    assert.throws(() => thing.set("x", () => 1), failure("TypeError", "INVALID_ARGUMENT"));
    assert.throws(() => thing.get("a\0b"), failure("TypeError", "INVALID_ARGUMENT"));
  },

  "items are found by index, key and slice"(python) {
    using list = python.eval("[10, 20, 30]"),
      dict = python.eval("{'a': 1, 2: 'two'}"),
      slice = python.eval("slice(1, None)");
    using last = list.at(-1), tail = list.at(slice), a = dict.at("a"), two = dict.at(2);
    assert.deepEqual([last.toJS(), tail.toJS(), a.toJS(), two.toJS()], [30, [20, 30], 1, "two"]);
    assert.throws(() => list.at(3), ofType("IndexError"));
    assert.throws(() => dict.at("b"), ofType("KeyError"));
  },

  "calls take arguments by position and by name"(python) {
    using show = python.eval("lambda *args, **kwargs: repr((args, kwargs))"), list = python.eval("[1]");
    using none = show.call(), both = show.call([1, "x", list], { end: null, rate: 0.5 });
    assert.equal(none.toJS(), "((), {})");
    assert.equal(both.toJS(), "((1, 'x', [1]), {'end': None, 'rate': 0.5})");
    using number = python.eval("5");
    assert.throws(() => number.call(), ofType("TypeError"));
    for (const wrong of ["abc", { length: 1 }, null]) {
      assert.throws(() => show.call(wrong as never), failure("TypeError", "INVALID_ARGUMENT", /an array of arguments/));
    }
    for (const wrong of [["a"], "abc", null, new Map([[1, 2]])]) {
      assert.throws(() => show.call([], wrong as never), failure("TypeError", "INVALID_ARGUMENT", /by name wanted/));
    }
  },

  "iteration gives one value after the other, and may end early"(python) {
    using range = python.eval("range(4)");
    const seen: unknown[] = [];
    for (const item of range) {
      using one = item;
      seen.push(one.toJS());
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [0, 1, 2]);
    using failing = python.eval("(1 // x for x in (1, 0))");
    assert.deepEqual([...collect(failing)], [1, "ZeroDivisionError"]);
    using number = python.eval("5");
    assert.throws(() => [...number], ofType("TypeError"));
  },

  "a value shows itself as Python does"(python) {
    using value = python.eval("{'a': (1, None)}");
    assert.equal(`${value}`, "{'a': (1, None)}");
    assert.match(inspect(value), /^PythonValue\(\{'a': \(1, None\)\}\)/);
    value[Symbol.dispose]();
    value[Symbol.dispose]();
    assert.equal(inspect(value), "PythonValue(disposed)");
    for (
      const use of [
        () => value.toJS(),
        () => value.get("x"),
        () => value.call(),
        () => [...value],
        () => `${value}`,
      ]
    ) {
      assert.throws(use, failure("ReferenceError", "DISPOSED"));
    }
    using list = python.eval("list");
    assert.throws(() => list.call([[value]]), failure("ReferenceError", "DISPOSED"));
  },

  async "a reference is held until it is disposed or collected, and no longer"(python) {
    python.exec("import sys; thing = object(); before = sys.getrefcount(thing)");
    const count = () => {
      using difference = python.eval("sys.getrefcount(thing) - before");
      return difference.toJS();
    };
    const thing = python.eval("thing");
    assert.equal(count(), 1);
    using list = python.eval("lambda *all, **named: (None, 1 / 0)[0]");
    for (let round = 0; round < 10; round++) {
      assert.throws(() => list.call([thing, [thing]], { it: thing }), PythonError);
    }
    assert.throws(() => list.call([thing, [thing, () => 1]]), failure("TypeError", "INVALID_ARGUMENT"));
    assert.equal(count(), 1);
    thing[Symbol.dispose]();
    assert.equal(count(), 0);
    (() => {
      for (let i = 0; i < 50; i++) python.eval("thing");
    })();
    list[Symbol.dispose]();
    assert.ok(await collectUntil(() => Object.keys(left()).length === 0));
    assert.equal(count(), 0);
  },
};

/** The items of an iterator that raises, and the type of what it raises. */
function* collect(values: Iterable<{ toJS(): unknown } & Disposable>): Generator<unknown> {
  try {
    for (const item of values) {
      using one = item;
      yield one.toJS();
    }
  } catch (error) {
    yield (error as PythonError).type;
  }
}
