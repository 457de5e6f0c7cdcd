import assert from "node:assert/strict";
import { type Python, PythonError } from "../../../src/python/mod.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";

/** Values that are the same in both languages, and what Python calls them. */
const SAME: readonly (readonly [value: unknown, repr: string])[] = [
  [null, "None"],
  [true, "True"],
  [false, "False"],
  [0, "0"],
  [-7, "-7"],
  [2.5, "2.5"],
  [NaN, "nan"],
  [-0, "-0.0"],
  [Infinity, "inf"],
  [2 ** 53 - 1, "9007199254740991"],
  [2n ** 62n, "4611686018427387904"],
  [-(2n ** 63n), "-9223372036854775808"],
  [2n ** 64n, "18446744073709551616"],
  [-(10n ** 40n), `-1${"0".repeat(40)}`],
  ["", "''"],
  ["a ä \u{1F40D}", "'a ä \u{1F40D}'"],
  [Uint8Array.of(0, 255), "b'\\x00\\xff'"],
  [new Uint8Array(0), "b''"],
  [[], "[]"],
  [[1, [null, ["x"]]], "[1, [None, ['x']]]"],
  [{}, "{}"],
  [{ a: 1, "b c": [true] }, "{'a': 1, 'b c': [True]}"],
  [new Map<unknown, unknown>([[1, "x"], [null, { y: 2 }]]), "{1: 'x', None: {'y': 2}}"],
  [new Set([5]), "{5}"],
];

function there(python: Python, value: unknown): { repr: string; back: unknown } {
  using both = python.eval("lambda value: (repr(value), value)"), told = both.call([value]);
  const [repr, back] = told.toJS() as [string, unknown];
  return { repr, back };
}

/** Plain values, both ways. */
export const VALUES: Cases = {
  "plain values go both ways"(python) {
    for (const [value, repr] of SAME) assert.deepEqual(there(python, value), { repr, back: value });
  },

  "undefined is None, and a large whole number a float"(python) {
    assert.deepEqual(there(python, undefined), { repr: "None", back: null });
    assert.deepEqual(there(python, 1e300), { repr: "1e+300", back: 1e300 });
  },

  "tuples and nearly plain values come as plain ones"(python) {
    const PLAIN: readonly (readonly [code: string, value: unknown])[] = [
      ["(1, (2,))", [1, [2]]],
      ["frozenset([3])", new Set([3])],
      ["bytearray(b'ab')", Uint8Array.of(97, 98)],
      ["__import__('numpy').float32(0.5)", 0.5],
      ["__import__('numpy').int64(-3)", -3],
      ["__import__('numpy').bool_(True)", true],
      ["__import__('numpy').array(7)", 7],
      ["__import__('enum').IntEnum('E', 'A B').B", 2],
      ["__import__('collections').OrderedDict(a=1)", { a: 1 }],
    ];
    for (const [code, wanted] of PLAIN) {
      using value = python.eval(code);
      assert.deepEqual(value.toJS(), wanted, code);
    }
  },

  "what is not plain is refused, by its name"(python) {
    const error = (name: RegExp) => failure("TypeError", "INVALID_ARGUMENT", name);
    for (
      const [code, name] of [["object()", /object found/], ["len", /builtin_function/], [
        "1j",
        /complex found/,
      ]] as const
    ) {
      using value = python.eval(code);
      assert.throws(() => value.toJS(), error(name));
    }
    using array = python.eval("__import__('numpy').zeros(2)");
    assert.throws(() => array.toJS(), error(/numpy\.ndarray found; fromPython\(\) takes arrays/));
    using surrogate = python.eval("'\\ud800'");
    assert.throws(() => surrogate.toJS(), PythonError);
    const cyclic: unknown[] = [], dict: Record<string, unknown> = {};
    cyclic.push([cyclic]);
    dict.self = dict;
    for (
      const value of [
        () => 1,
        Symbol("s"),
        new Date(),
        new Float32Array(2),
        Tensor.from([1], [1], "int8"),
        [cyclic],
        dict,
      ]
    ) {
      assert.throws(() => there(python, value), error(/Cannot give a value to Python/));
    }
    using own = python.eval("(lambda x: (x.append(x), x)[1])([])");
    assert.throws(() => own.toJS(), error(/it holds itself/));
  },

  "holes of an array are None, also among arguments"(python) {
    // deno-lint-ignore no-sparse-arrays -- that is what is tested
    const sparse = [1, , 3];
    assert.deepEqual(there(python, sparse), { repr: "[1, None, 3]", back: [1, null, 3] });
    using show = python.eval("lambda *all: repr(all)"), shown = show.call(sparse);
    assert.equal(shown.toJS(), "(1, None, 3)");
  },

  "an accessor may dispose of the value that is called"(python) {
    const call = python.eval("lambda given: [given['a']] * 1000");
    const given = {
      get a() {
        call[Symbol.dispose]();
        return 1;
      },
    };
    using called = call.call([given]);
    assert.equal((called.toJS() as unknown[]).length, 1000);
  },

  "what says that it is a float and is none is an exception"(python) {
    using none = python.eval("__import__('unittest.mock').mock.Mock(spec=float)");
    assert.throws(() => none.toJS(), PythonError);
    using after = python.eval("1.5");
    assert.equal(after.toJS(), 1.5);
  },

  "one value may stand in two places"(python) {
    const twice = [1];
    assert.deepEqual(there(python, [twice, twice, { a: twice }]).back, [[1], [1], { a: [1] }]);
  },
};
