import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import type { NumericDType } from "../../../src/tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { add } from "../../support/models.ts";
import { failure } from "../../support/sessions.ts";
import type { Cases } from "./mod.ts";
import { addressIn, addressOf, told } from "./numpy.ts";

const DTYPES: readonly NumericDType[] = [
  "bool",
  "bfloat16",
  "float16",
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
];
const residentKiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);

/** Tensors of torch's, on the CPU. */
export const TORCH: Cases = {
  "a tensor here and one there are one memory, both ways, for every dtype"(python) {
    for (const dtype of DTYPES) {
      using tensor = Tensor.zeros(dtype, [2, 3], { storage: "native" }), theirs = python.toTorch(tensor);
      assert.equal(addressIn(python, theirs), addressOf(tensor));
      assert.deepEqual(told(python, "(str(t.dtype), list(t.shape))", { t: theirs }), [`torch.${dtype}`, [2, 3]]);
      told(python, "t[1].fill_(1) is None", { t: theirs });
      assert.equal(tensor.data[2] == 0 && tensor.data[3] != 0, true);
      using back = python.fromPython(theirs);
      assert.deepEqual([back.dtype, back.shape, addressOf(back)], [dtype, [2, 3], addressOf(tensor)]);
      back.data.fill(back.data[3] as never);
      assert.equal(told(python, "float(t.to(dtype=__import__('torch').float32).sum())", { t: theirs }), 6);
    }
  },

  "views in torch keep the memory of a tensor that was disposed"(python) {
    using allocator = new SharedMemoryAllocator();
    for (
      const tensor of [Tensor.zeros("float32", [1 << 16], { storage: "native" }), allocator.tensor("float32", [64])]
    ) {
      tensor.data.fill(2);
      {
        using theirs = python.toTorch(tensor),
          keep = python.eval("lambda t: globals().update(kept=t[8:].reshape(2, -1).T)");
        keep.call([theirs])[Symbol.dispose]();
      }
      tensor[Symbol.dispose]();
      assert.equal(told(python, "float(kept.mean())"), 2);
      python.exec("del kept");
    }
  },

  "strides, scalars and tensors without elements are kept"(python) {
    python.exec("import torch");
    using turned = python.eval("torch.arange(6).reshape(2, 3).T"),
      tensor = python.fromPython(turned),
      again = python.toTorch(tensor);
    assert.deepEqual([tensor.shape, tensor.strides], [[3, 2], [1, 3]]);
    assert.deepEqual(told(python, "(t.tolist(), list(t.stride()))", { t: again }), [[[0, 3], [1, 4], [2, 5]], [1, 3]]);
    using scalar = python.eval("torch.tensor(2.5)"), one = python.fromPython(scalar).as("float32");
    assert.deepEqual([one.shape, one.data[0], scalar.toJS()], [[], 2.5, 2.5]);
    using empty = Tensor.zeros("int64", [0, 4], { storage: "native" }), nothing = python.toTorch(empty);
    assert.deepEqual(told(python, "list(t.shape)", { t: nothing }), [0, 4]);
  },

  "a heap tensor is copied"(python) {
    const data = Float32Array.of(1, 2);
    using theirs = python.toTorch(Tensor.from(data));
    data.fill(0);
    assert.deepEqual(told(python, "t.tolist()", { t: theirs }), [1, 2]);
  },

  "tensors that torch cannot have, or lend, are refused"(python) {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("uint8", [4]);
    using seen = Tensor.open(tensor.ref, { readOnly: true });
    assert.throws(() => python.toTorch(seen), failure("TypeError", "READ_ONLY"));
    python.exec("import torch");
    using graph = python.eval("torch.zeros(2, requires_grad=True)"), sparse = python.eval("torch.zeros(2).to_sparse()");
    assert.throws(() => python.fromPython(graph), failure("PythonError", "PYTHON", /detach/));
    assert.throws(() => python.fromPython(sparse), failure("PythonError", "PYTHON"));
    using complex = python.eval("torch.zeros(2, dtype=torch.complex64)");
    assert.throws(() => python.fromPython(complex), failure("TypeError", "INVALID_DTYPE", /complex64/));
  },

  async "torch and onnxruntime compute in one process, on one memory"(python) {
    python.exec("import torch; a, b, c = torch.full((4,), 2.0), torch.arange(4).float(), torch.zeros(4)");
    using a = python.eval("a"), b = python.eval("b"), c = python.eval("c");
    using x = python.fromPython(a), y = python.fromPython(b), z = python.fromPython(c);
    using session = await InferenceSession.create(add({ dtype: "float32", shape: [4] }));
    const [first, second] = session.inputs.map(({ name }) => name), output = session.outputs[0]!.name;
    await session.run({ [first!]: x, [second!]: y }, { outputs: { [output]: z } });
    assert.deepEqual(told(python, "(c @ torch.ones(4)).item()"), 14);
    python.exec("del a, b, c");
  },

  "thousands of conversions leave nothing"(python) {
    using tensor = Tensor.zeros("float32", [1000], { storage: "native" });
    const round = (times: number): number => {
      for (let i = 0; i < times; i++) {
        using theirs = python.toTorch(tensor), _back = python.fromPython(theirs);
      }
      return residentKiB();
    };
    const before = round(2000), after = round(10_000);
    assert.ok(after - before < 16 << 10, `${before} KiB, then ${after} KiB`);
  },
};
