import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import type { DType } from "../../../src/tensor/dtype.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { collectUntil } from "../../support/gc.ts";
import { add } from "../../support/models.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";
import { addressIn, addressOf, evaluate, told } from "./numpy.ts";

const DTYPES: Readonly<Partial<Record<DType, string>>> = {
  bool: "?",
  float16: "f2",
  float32: "f4",
  float64: "f8",
  int8: "i1",
  int16: "i2",
  int32: "i4",
  int64: "i8",
  uint8: "u1",
  uint16: "u2",
  uint32: "u4",
  uint64: "u8",
};
const residentKiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);

/** Arrays of NumPy's as tensors. */
export const FROM_PYTHON: Cases = {
  "an array and its tensor are one memory, for every dtype"(python) {
    for (const [dtype, code] of Object.entries(DTYPES)) {
      using array = evaluate(python, `np.array([[0, 1, 1], [1, 0, 1]], dtype="${code}")`),
        tensor = python.fromPython(array);
      assert.deepEqual([tensor.dtype, tensor.shape, tensor.storage, tensor.readOnly], [dtype, [2, 3], "native", false]);
      assert.equal(addressOf(tensor), addressIn(python, array));
      assert.deepEqual(Array.from(tensor.data as ArrayLike<number | bigint>, Number), [0, 1, 1, 1, 0, 1]);
      (tensor.data as Uint8Array).set(tensor.data.slice(1, 3) as Uint8Array, 3); // 1, 1
      assert.deepEqual(told(python, "[int(x) for x in array.reshape(-1)]", { array }), [0, 1, 1, 1, 1, 1]);
      told(python, "array.fill(0)", { array });
      assert.ok(Array.from(tensor.data as ArrayLike<number | bigint>).every((value) => Number(value) === 0));
    }
  },

  "strides are kept, also of scalars that are broadcast"(python) {
    using base = evaluate(python, "np.arange(24, dtype='i4').reshape(2, 3, 4)");
    const PARTS: readonly (readonly [part: string, shape: readonly number[], strides: readonly number[]])[] = [
      ["base.T", [4, 3, 2], [1, 4, 12]],
      ["base[:, 1]", [2, 4], [12, 1]],
      ["base[:, ::2, ::3]", [2, 2, 2], [12, 8, 3]],
      ["np.broadcast_to(base[0, 0], (3, 4))", [3, 4], [0, 1]],
    ];
    for (const [part, shape, strides] of PARTS) {
      using array = evaluate(python, part, { base }), tensor = python.fromPython(array);
      assert.deepEqual([tensor.shape, tensor.strides], [shape, strides], part);
      assert.deepEqual(
        [...tensor.contiguous().as("int32").data],
        told(python, "array.reshape(-1).tolist()", { array }),
      );
    }
  },

  "scalars and arrays without elements are tensors as well"(python) {
    using scalar = evaluate(python, "np.array(2.5)"), tensor = python.fromPython(scalar).as("float64");
    assert.deepEqual([tensor.shape, [...tensor.data]], [[], [2.5]]);
    for (const shape of ["(0,)", "(3, 0, 2)"]) {
      using array = evaluate(python, `np.zeros(${shape}, dtype="f4")`), empty = python.fromPython(array);
      assert.deepEqual([empty.size, empty.data.length], [0, 0]);
    }
    using part = evaluate(python, "np.zeros((4, 4))[2:2, ::-1]"), nothing = python.fromPython(part);
    assert.deepEqual(nothing.shape, [0, 4]);
  },

  "a read-only array is a read-only tensor"(python) {
    using bytes = evaluate(python, "np.frombuffer(b'abc', dtype='u1')"), tensor = python.fromPython(bytes).as("uint8");
    assert.deepEqual([tensor.readOnly, [...tensor.data]], [true, [97, 98, 99]]);
    using array = python.toNumPy(tensor);
    assert.equal(told(python, "array.flags.writeable", { array }), false);
  },

  "memory that the system protects can be seen, and written to without harm"(python) {
    python.exec("import mmap, numpy as np; pages = mmap.mmap(-1, 8192, access=mmap.ACCESS_WRITE)");
    python.exec("import tempfile; f = tempfile.TemporaryFile(); f.write(bytes([7]) * 8192); f.flush()");
    python.exec("protected = np.frombuffer(mmap.mmap(f.fileno(), 8192, access=mmap.ACCESS_READ), dtype='u1')");
    using array = python.eval("protected"), tensor = python.fromPython(array).as("uint8");
    assert.deepEqual([tensor.readOnly, tensor.data[8191], tensor.view(1, 2).length], [true, 7, 2]);
    tensor.data[0] = 1; // into a copy
    assert.equal(told(python, "int(array[0])", { array }), 7);
    assert.equal(addressOf(tensor), addressIn(python, array)); // what C reads is the memory itself
    python.exec("del protected, pages");
  },

  "the memory lives until the tensor is disposed, whoever else lets it go"(python) {
    python.exec("import numpy as np, weakref; array = np.arange(1 << 16, dtype='f8'); seen = weakref.ref(array)");
    const tensor = (() => {
      using array = python.eval("array");
      return python.fromPython(array).as("float64");
    })();
    python.exec("del array; import gc; gc.collect(); other = np.ones(1 << 16)");
    assert.ok(tensor.data.every((value, i) => value === i));
    const { data } = tensor;
    tensor[Symbol.dispose]();
    assert.equal(data.length, 0);
    assert.equal(told(python, "seen() is None"), true);
    assert.throws(() => tensor.data, failure("ReferenceError", "DISPOSED"));
  },

  async "a tensor that is dropped lets the memory go in the end"(python) {
    python.exec("import numpy as np, weakref; array = np.zeros(100); seen = weakref.ref(array)");
    (() => {
      for (let i = 0; i < 50; i++) {
        using array = python.eval("array");
        python.fromPython(array);
      }
    })();
    python.exec("del array");
    assert.ok(await collectUntil(() => told(python, "seen() is None") as boolean));
  },

  "bytes that an array interface names are shared as well"(python) {
    python.exec(`
class Picture:
    def __init__(self, data, **more):
        self.__array_interface__ = {"version": 3, "shape": (2, 3), "typestr": "|u1", "data": data, **more}
pixels = bytearray(range(8))`);
    using picture = python.eval("Picture(pixels)"), tensor = python.fromPython(picture).as("uint8");
    assert.deepEqual([...tensor.data], [0, 1, 2, 3, 4, 5]);
    using later = python.eval("Picture(pixels, offset=2)"), rest = python.fromPython(later).as("uint8");
    assert.deepEqual([...rest.data], [2, 3, 4, 5, 6, 7]);
    using outside = python.eval("Picture(pixels, offset=3)");
    assert.throws(() => python.fromPython(outside), failure("TypeError", "INVALID_LAYOUT", /6 bytes from 3 on/));
    using masked = python.eval("Picture(pixels, mask=pixels)");
    assert.throws(() => python.fromPython(masked), failure("PythonError", "PYTHON", /masked/));
  },

  async "an array feeds a session, and is given as its output, without a copy"(python) {
    using a = evaluate(python, "np.full(4, 2, dtype='f4')"), b = evaluate(python, "np.arange(4, dtype='f4')");
    using sum = evaluate(python, "np.zeros(4, dtype='f4')");
    using session = await InferenceSession.create(add({ dtype: "float32", shape: [4] }));
    using x = python.fromPython(a), y = python.fromPython(b), z = python.fromPython(sum);
    const [first, second] = session.inputs.map(({ name }) => name), output = session.outputs[0]!.name;
    await session.run({ [first!]: x, [second!]: y }, { outputs: { [output]: z } });
    assert.deepEqual(told(python, "sum.tolist()", { sum }), [2, 3, 4, 5]);
    session.runSync({ [first!]: z, [second!]: y }, { outputs: { [output]: x } });
    assert.deepEqual(told(python, "a.tolist()", { a }), [2, 4, 6, 8]);
  },

  "thousands of conversions leave nothing"(python) {
    using array = evaluate(python, "np.zeros(1000)"), tensor = Tensor.zeros("float32", [1000], { storage: "native" });
    const round = (times: number): number => {
      for (let i = 0; i < times; i++) {
        using _in = python.fromPython(array), _out = python.toNumPy(tensor);
      }
      return residentKiB();
    };
    const before = round(2000), after = round(10_000);
    assert.ok(after - before < 16 << 10, `${before} KiB, then ${after} KiB`);
    assert.equal(told(python, "__import__('sys').getrefcount(array) < 10", { array }), true);
  },
};
