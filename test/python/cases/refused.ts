import assert from "node:assert/strict";
import type { Python } from "../../../src/python/mod.ts";
import { failure } from "../../support/sessions.ts";
import type { Case, Cases } from "./mod.ts";
import { evaluate } from "./numpy.ts";

/** Objects whose `__dlpack__` does something else. */
const MADE = String.raw`
import ctypes, numpy as np
class Lender:
    def __init__(self, work): self.work = work
    def __dlpack__(self, **kwargs): return self.work()
    def __dlpack_device__(self): return (1, 0)

class Fields(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.c_void_p), ("offset", ctypes.c_uint64),
                ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]

def capsule(device):
    shape = (ctypes.c_int64 * 1)(4)
    kept = Fields(id(shape), device, 0, 1, 2, 32, 1, shape, None, 0, None, None)
    made.append((kept, shape))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(kept), b"dltensor", None)

made = []
`;

function refuses(expression: string, error: object): Case {
  return (python: Python) => {
    using value = evaluate(python, expression);
    assert.throws(() => python.fromPython(value), error);
  };
}

const dtype = (message: RegExp) => failure("TypeError", "INVALID_DTYPE", message);
const layout = (message: RegExp) => failure("TypeError", "INVALID_LAYOUT", message);
const argument = (message: RegExp) => failure("TypeError", "INVALID_ARGUMENT", message);

/** What is no tensor. */
export const REFUSED: Cases = {
  "objects": refuses("np.array([1, 'a'], dtype=object)", dtype(/booleans wanted, objects \(\|O\) found/)),
  "dates": refuses("np.array(['2026-01-01'], dtype='M8[D]')", dtype(/dates \(<M8\[D\]\) found/)),
  "durations": refuses("np.zeros(2, dtype='m8[s]')", dtype(/durations/)),
  "structures": refuses("np.zeros(2, dtype=[('a', 'f4'), ('b', 'i4')])", dtype(/structures/)),
  "text": refuses("np.array(['a', 'bc'])", dtype(/text \(<U2\) found/)),
  "bytes of text": refuses("np.array([b'a'])", dtype(/bytes \(\|S1\) found/)),
  "complex numbers": refuses("np.zeros(2, dtype='c8')", dtype(/complex/)),
  "long doubles": refuses("np.zeros(2, dtype='longdouble')", dtype(/found/)),
  "big-endian numbers": refuses("np.zeros(2, dtype='>f4')", dtype(/float32 in big-endian order \(>f4\) found/)),
  "strides below 0": refuses("np.zeros(4)[::-1]", layout(/strides from 0 up wanted, \[-1\] found; copy it first/)),
  "strides of parts of elements": refuses(
    "np.zeros(3, dtype=[('a', 'f4'), ('b', 'u1')])['a']",
    layout(/strides of whole float32 elements wanted, strides of \[5\] bytes found/),
  ),
  "elements that are not aligned": refuses(
    "np.zeros(9, dtype='u1')[1:].view('f4')",
    layout(/at multiples of 4 bytes wanted/),
  ),
  "what is no array": refuses("[1, 2]", argument(/__dlpack__ or __array_interface__ wanted, <class 'list'> found/)),

  "an array interface that contradicts itself"(python) {
    const of = (fields: string) => {
      using value = evaluate(python, `type("Odd", (), {"__array_interface__": {"version": 3, **${fields}}})()`);
      return python.fromPython(value);
    };
    const memory = "'typestr': '<f4', 'data': (4096, False)", raised = failure("PythonError", "PYTHON");
    assert.throws(() => of(`{'shape': (2,), 'strides': (4, 4), ${memory}}`), layout(/1 strides wanted .*, 2 found/));
    assert.throws(() => of(`{'shape': (-1,), ${memory}}`), failure("RangeError", "INVALID_SHAPE"));
    assert.throws(() => of(`{'shape': (2**62,), ${memory}}`), failure("RangeError", "INVALID_SHAPE"));
    assert.throws(() => of("{'shape': (2,), 'typestr': '<f4', 'data': (0, False)}"), argument(/at address 0/));
    for (
      const fields of [
        `{'shape': (2.5,), ${memory}}`,
        "{'shape': (2,)}",
        "{'shape': (2,), 'typestr': 5, 'data': (8, 0)}",
      ]
    ) {
      assert.throws(() => of(fields), raised);
    }
  },

  "memory of a GPU"(python) {
    python.exec(MADE);
    using value = python.eval("Lender(lambda: capsule(2))");
    const error = failure("TypeError", "UNSUPPORTED", /one on CUDA:0 found/);
    assert.throws(() => python.fromPython(value), error);
  },

  "a capsule that was taken"(python) {
    python.exec(`${MADE}\none = capsule(1)`);
    using twice = python.eval("Lender(lambda: one)"),
      raw = python.eval("one"),
      nothing = python.eval("Lender(lambda: None)");
    python.fromPython(raw)[Symbol.dispose]();
    for (const value of [twice, raw, nothing]) {
      assert.throws(() => python.fromPython(value), argument(/nobody has taken/));
    }
  },

  "what Python raises in __dlpack__, as it was raised"(python) {
    python.exec(`${MADE}
def fail(kind): raise kind("not today")`);
    for (
      const kind of ["ValueError", "BufferError", "TypeError", "AttributeError", "RuntimeError", "KeyboardInterrupt"]
    ) {
      using value = python.eval(`Lender(lambda: fail(${kind}))`);
      const error = failure("PythonError", "PYTHON", new RegExp(`${kind}: not today`));
      assert.throws(() => python.fromPython(value), error);
    }
    using value = python.eval("Lender(lambda: 1)");
    assert.throws(() => python.fromPython(value), argument(/is none found/));
    assert.throws(() => python.fromPython(5 as never), argument(/a PythonValue wanted/));
  },
};
