import assert from "node:assert/strict";
import { LibraryError } from "../../../src/errors.ts";
import { liveHandles } from "../../../src/handle.ts";
import { heapStorage, makeTensor } from "../../../src/tensor/internal.ts";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import type { NumericDType } from "../../../src/tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { add } from "../../support/models.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";
import { addressIn, addressOf, evaluate, told } from "./numpy.ts";

const DTYPES: Readonly<Partial<Record<NumericDType, string>>> = {
  bool: "bool",
  float16: "float16",
  float32: "float32",
  float64: "float64",
  int8: "int8",
  int16: "int16",
  int32: "int32",
  int64: "int64",
  uint8: "uint8",
  uint16: "uint16",
  uint32: "uint32",
  uint64: "uint64",
};

/** Tensors as arrays of NumPy's. */
export const TO_PYTHON: Cases = {
  "a tensor and its array are one memory, for every dtype"(python) {
    for (const [dtype, name] of Object.entries(DTYPES) as [NumericDType, string][]) {
      using tensor = Tensor.zeros(dtype, [2, 3], { storage: "native" }), array = python.toNumPy(tensor);
      assert.equal(addressIn(python, array), addressOf(tensor));
      assert.deepEqual(told(python, "(str(array.dtype), array.shape, array.flags.writeable)", { array }), [
        name,
        [2, 3],
        true,
      ]);
      told(python, "array[1].fill(1)", { array });
      assert.deepEqual(Array.from(tensor.data, Number), [0, 0, 0, 1, 1, 1]);
      tensor.data.fill(tensor.data[5] as never);
      assert.equal(told(python, "int(array.sum())", { array }), 6);
    }
  },

  "a shared tensor's memory is shared with Python as well"(python) {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("float32", [8]);
    using array = python.toNumPy(tensor), other = Tensor.open(tensor.ref).as("float32");
    told(python, "array.fill(3)", { array });
    assert.deepEqual([tensor.data[7], other.data[0]], [3, 3]);
  },

  "slices and views keep the memory of a tensor that was disposed"(python) {
    using allocator = new SharedMemoryAllocator();
    for (
      const tensor of [Tensor.zeros("float64", [1 << 16], { storage: "native" }), allocator.tensor("float64", [64])]
    ) {
      tensor.data.fill(4);
      {
        using array = python.toNumPy(tensor);
        python.exec("import numpy as np");
        using keep = python.eval("lambda array: globals().update(kept=array[8:].reshape(2, -1).T[1:])");
        keep.call([array])[Symbol.dispose]();
      }
      const { data } = tensor;
      tensor[Symbol.dispose]();
      assert.throws(() => tensor.data, failure("ReferenceError", "DISPOSED"));
      assert.equal(told(python, "bool((kept == 4).all())"), true);
      data.fill(5); // the view is there as long as the memory
      assert.equal(told(python, "float(kept.max())"), 5);
      python.exec("del kept");
      Tensor.zeros("int8", [1], { storage: "native" })[Symbol.dispose]();
    }
  },

  "the end of a scope or an allocator takes nothing from Python"(python) {
    const allocator = new SharedMemoryAllocator(), scope = allocator.scope();
    using array = (() => {
      const tensor = scope.tensor("int32", [16]);
      tensor.data.fill(9);
      return python.toNumPy(tensor);
    })();
    scope[Symbol.dispose]();
    allocator[Symbol.dispose]();
    assert.equal(told(python, "int(array.sum())", { array }), 144);
  },

  async "what a run has made goes to Python without a copy, and stays when its results are disposed"(python) {
    using session = await InferenceSession.create(add({ dtype: "float32", shape: [4] }));
    const feeds = { a: Tensor.from(Float32Array.of(1, 2, 3, 4)), b: Tensor.from(Float32Array.of(5, 5, 5, 5)) };
    for (const outputStorage of ["native", "shared"] as const) {
      const out = await session.run(feeds, { outputStorage }), address = addressOf(out.c!);
      using array = python.toNumPy(out.c!);
      out[Symbol.dispose]();
      assert.equal(addressIn(python, array), address);
      using _other = await session.run(feeds, { outputStorage });
      assert.deepEqual(told(python, "array.tolist()", { array }), [6, 7, 8, 9]);
    }
    SharedMemoryAllocator.default[Symbol.dispose]();
  },

  "a heap tensor is copied, in its order"(python) {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    using array = python.toNumPy(makeTensor("float32", Object.freeze([3, 2]), heapStorage(data), { strides: [1, 3] }));
    data.fill(0);
    assert.deepEqual(told(python, "array.tolist()", { array }), [[1, 4], [2, 5], [3, 6]]);
    using scalar = python.toNumPy(Tensor.from([5n], [], "int64"));
    assert.deepEqual(told(python, "(array.shape, int(array))", { array: scalar }), [[], 5]);
  },

  "strides, and tensors without elements, are kept"(python) {
    using base = evaluate(python, "np.arange(6, dtype='i8').reshape(2, 3).T"), tensor = python.fromPython(base);
    using array = python.toNumPy(tensor);
    assert.deepEqual(told(python, "(array.strides, array.tolist())", { array }), [[8, 24], [[0, 3], [1, 4], [2, 5]]]);
    assert.equal(addressIn(python, array), addressIn(python, base));
    using empty = Tensor.zeros("float32", [3, 0], { storage: "native" }), nothing = python.toNumPy(empty);
    assert.deepEqual(told(python, "array.shape", { array: nothing }), [3, 0]);
  },

  "a read-only tensor is a read-only array, and written by others"(python) {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("uint8", [4]);
    using seen = Tensor.open(tensor.ref, { readOnly: true }), array = python.toNumPy(seen);
    tensor.data[2] = 8;
    assert.deepEqual(told(python, "(array.flags.writeable, array.tolist())", { array }), [false, [0, 0, 8, 0]]);
  },

  "what comes from Python goes back as the same memory"(python) {
    using array = evaluate(python, "np.zeros(4)"), tensor = python.fromPython(array), again = python.toNumPy(tensor);
    tensor[Symbol.dispose]();
    told(python, "again.fill(2)", { again });
    assert.deepEqual(told(python, "array.tolist()", { array }), [2, 2, 2, 2]);
    assert.equal(liveHandles().loan, 1);
  },

  "bfloat16 is what ml_dtypes has, if it is there"(python) {
    using tensor = Tensor.zeros("bfloat16", [2], { storage: "native" });
    tensor.data.fill(0x3f80); // 1
    try {
      using array = python.toNumPy(tensor), back = python.fromPython(array);
      assert.deepEqual(told(python, "(str(array.dtype), float(array.sum()))", { array }), ["bfloat16", 2]);
      assert.deepEqual([back.dtype, addressOf(back)], ["bfloat16", addressOf(tensor)]);
    } catch (error) {
      assert.ok(error instanceof LibraryError && error.message.includes("pip install ml_dtypes"), String(error));
    }
  },

  "strings, disposed tensors and what is none are refused"(python) {
    assert.throws(() => python.toNumPy(Tensor.from(["a"], [1], "string")), failure("TypeError", "INVALID_DTYPE"));
    const gone = Tensor.zeros("int8", [1], { storage: "native" });
    gone[Symbol.dispose]();
    assert.throws(() => python.toNumPy(gone), failure("ReferenceError", "DISPOSED"));
    assert.throws(() => python.toNumPy([1] as never), failure("TypeError", "INVALID_ARGUMENT"));
    assert.throws(() => python.toTorch(null as never), failure("TypeError", "INVALID_ARGUMENT"));
  },
};
