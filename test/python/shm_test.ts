import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { SharedMemoryRegion } from "../../src/memory/shared_memory_region.ts";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import type { NumericDType } from "../../src/tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { formatTensorRef, type TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { numpy2, torch } from "./environments.ts";
import { literal, Peer } from "./shm/peer.ts";

const found = await numpy2(), skip = "reason" in found ? found.reason : false;
const python = "python" in found ? found.python : "";
const DTYPES: readonly NumericDType[] = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
];
const STALE = failure("ReferenceError", "STALE_REFERENCE");
/** A process for what does not hang on its end. */
let peer: Peer;
const isThere = ({ region }: TensorRef): boolean => existsSync(`/dev/shm/${region}`);

before(() => void (peer = new Peer(python || "python3")));
after(() => peer[Symbol.asyncDispose]());

afterEach(async () => {
  if (!skip) await peer.forget();
  sweepSharedMemory(); // leaves the regions whose owner has gone
  nothingLeft();
});

for (const backend of ["named", "memfd"] as const) {
  describe(`coload_shm and tensors here, ${backend}`, { skip }, () => {
    it("opens tensors of every dtype, with NumPy and without, as the same memory", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      for (const dtype of DTYPES) {
        using tensor = allocator.tensor(dtype, [2, 3]);
        new Uint8Array(tensor.data.buffer).fill(0);
        await peer.ask(`t = shm.open(${literal(tensor.ref)}); a = t.numpy(); v = t.memoryview()`);
        assert.deepEqual(await peer.ask("[a.shape, v.shape, a.itemsize, a.sum().item()]"), [
          [2, 3],
          [2, 3],
          tensor.byteLength / 6,
          0,
        ]);
        await peer.ask("a[1] = 1");
        assert.deepEqual(Array.from(tensor.data, Boolean), [false, false, false, true, true, true]);
        tensor.data.copyWithin(0, 3);
        assert.equal(await peer.ask("all(map(all, v.tolist())) and bool(a.all())"), true);
        await peer.ask("del a, v; t.close()");
      }
    });

    it("opens words and JSON, strided tensors, scalars, tensors without elements, and only to read", async () => {
      using allocator = new SharedMemoryAllocator({ backend }), tensor = allocator.tensor("int32", [6]);
      tensor.data.set([0, 1, 2, 3, 4, 5]);
      const word = formatTensorRef({ ...tensor.ref, shape: [3, 2], strides: [1, 3] });
      assert.deepEqual(await peer.ask(`shm.open("${word}").numpy().tolist()`), [[0, 3], [1, 4], [2, 5]]);
      const json = JSON.stringify({ ...tensor.ref, shape: [], byteLength: 4 });
      assert.equal(await peer.ask(`shm.open(${JSON.stringify(json)}).numpy().item()`), 0);
      using empty = allocator.tensor("float32", [0, 4]);
      assert.deepEqual(await peer.ask(`shm.open(${literal(empty.ref)}).numpy().shape`), [0, 4]);
      assert.match(
        await peer.ask(`shm.open(${literal(tensor.ref)}, read_only=True).numpy().fill(1)`) as string,
        /read-only/,
      );
    });

    it("makes tensors that are opened here, and stay when it closes or ends", async () => {
      let ref: TensorRef, other: TensorRef;
      using owned = new DisposableStack();
      {
        await using peer = new Peer(python);
        ref = await peer.ask(`t = shm.create("float32", (2, 2), "${backend}"); t.numpy()[:] = 7; t.ref`) as TensorRef;
        other = await peer.ask(
          `import numpy as np; o = shm.share(np.arange(6).reshape(2, 3).T, "${backend}"); o.ref`,
        ) as TensorRef;
        const tensor = owned.use(Tensor.open(ref)).as("float32"), copy = owned.use(Tensor.open(other));
        assert.deepEqual([[...tensor.data], [...copy.as("int64").data], copy.shape], [
          [7, 7, 7, 7],
          [0n, 3n, 1n, 4n, 2n, 5n],
          [3, 2],
        ]);
        tensor.data[0] = 1;
        assert.equal(await peer.ask("t.numpy()[0, 0].item()"), 1);
        await peer.ask("t.close()");
        assert.equal(tensor.data[3], 7);
      }
      const [tensor] = [owned.use(Tensor.open(other))]; // whose maker has ended
      assert.equal(tensor.as("int64").data[5], 5n);
      owned.dispose();
      assert.ok(!isThere(ref) && !isThere(other));
    });

    it("hands off, and adopts what is handed off", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const ref = allocator.share(Tensor.from(Float32Array.of(1, 2))).handOff();
      assert.deepEqual(await peer.ask(`t = shm.open(${literal(ref)}); t.numpy().tolist()`), [1, 2]);
      assert.equal(allocator.metrics().bytesInUse, 64);
      const back = await peer.ask("t.hand_off()") as TensorRef;
      Tensor.open(back)[Symbol.dispose]();
      assert.equal(allocator.metrics().bytesInUse, 0);
      const made = await peer.ask(`shm.create("uint8", (3,), "${backend}").hand_off()`) as TensorRef;
      using adopted = Tensor.open(made);
      assert.deepEqual([...adopted.as("uint8").data], [0, 0, 0]);
      await peer.ask("shm.sweep()"); // a memfd's maker stays until it has arrived
    });

    it("keeps what its arrays are over, and lets go with the last of them", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensor = allocator.share(Tensor.from(Int32Array.of(1, 2, 3)));
      await peer.ask(`t = shm.open(${literal(tensor.ref)}); part = t.numpy()[1:]; t.close()`);
      tensor[Symbol.dispose]();
      assert.equal(allocator.metrics().bytesInUse, 64);
      assert.deepEqual(await peer.ask("part.tolist()"), [2, 3]);
      assert.match(await peer.ask("t.numpy()") as string, /^ReferenceError: the tensor is closed/);
      await peer.ask("del part");
      assert.equal(allocator.metrics().bytesInUse, 0);
    });

    it("is told when memory is gone", async () => {
      using allocator = new SharedMemoryAllocator({ backend }), other = allocator.tensor("int8", [1]);
      const tensor = allocator.tensor("int8", [1]), { ref } = tensor;
      await peer.ask(`kept = shm.open(${literal(other.ref)})`);
      tensor[Symbol.dispose]();
      assert.match(await peer.ask(`shm.open(${literal(ref)})`) as string, /^StaleReference: the memory was freed/);
      using again = allocator.tensor("int8", [1]);
      assert.equal(again.ref.byteOffset, ref.byteOffset);
      assert.match(await peer.ask(`shm.open(${literal(ref)})`) as string, /^StaleReference: .*something else/);
    });

    it("leaves everything of others in its place, whether it ends, is killed, or forks", async () => {
      using allocator = new SharedMemoryAllocator({ backend }), tensor = allocator.share(Tensor.from(Int8Array.of(5)));
      const { ref } = tensor, held = allocator.tensor("int8", [1]);
      {
        await using peer = new Peer(python);
        await peer.ask(`t = shm.open(${literal(ref)}); a = t.numpy()`);
      }
      await using killed = new Peer(python);
      await killed.ask(`a = shm.open(${literal(ref)}).numpy(); b = shm.open(${literal(held.ref)})`);
      const child =
        "import os; r, w = os.pipe(); child = os.fork()\nif child == 0:\n  os.close(w); os.read(r, 1); os._exit(0)\nos.close(r); child";
      assert.ok(await killed.ask(child));
      held[Symbol.dispose]();
      assert.equal(allocator.metrics().bytesInUse, 128);
      await killed.kill();
      for (let turn = 0; allocator.metrics().bytesInUse > 64 && turn < 10_000; turn++) {
        await setImmediate(); // the system may take a moment to end it
        sweepSharedMemory();
      }
      assert.equal(allocator.metrics().bytesInUse, 64);
      using again = Tensor.open(ref);
      assert.deepEqual([...again.as("int8").data], [5]);
    });
  });
}

describe("coload_shm", { skip }, () => {
  it("sweeps what is left of dead processes, and nothing else", async () => {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.share(Tensor.from(Int8Array.of(5)));
    await using killed = new Peer(python);
    const ref = await killed.ask('t = shm.create("int8", (10000,)); t.ref') as TensorRef;
    const held = allocator.tensor("int8", [1]);
    await killed.ask(`b = shm.open(${literal(held.ref)})`);
    held[Symbol.dispose]();
    await killed.kill();
    assert.ok(isThere(ref));
    await using peer = new Peer(python);
    const [count, bytes] = await peer.ask("shm.sweep()") as [number, number];
    assert.ok(count >= 1 && bytes >= 10_000);
    assert.ok(!isThere(ref) && isThere(tensor.ref));
    assert.equal(allocator.metrics().bytesInUse, 64);
    assert.throws(() => Tensor.open(ref), STALE);
  });

  it("lets what was handed off wait, when its process ends", async () => {
    let ref: TensorRef;
    {
      await using peer = new Peer(python);
      ref = await peer.ask('t = shm.create("int8", (4,)); t.numpy()[:] = 3; t.hand_off()') as TensorRef;
    }
    await using peer = new Peer(python);
    await peer.ask("shm.sweep()");
    using tensor = Tensor.open(ref);
    assert.deepEqual([...tensor.as("int8").data], [3, 3, 3, 3]);
  });

  it("sees a region that is one piece", async () => {
    using region = SharedMemoryRegion.create(1000);
    region.bytes[999] = 7;
    assert.deepEqual(await peer.ask(`r = shm.Region.open("${region.name}"); d = r.data; [len(d), d[999]]`), [1000, 7]);
    await peer.ask("d[0] = 9");
    assert.equal(region.bytes[0], 9);
    assert.match(await peer.ask("r.close()") as string, /^BufferError: .* is in use/);
    await peer.ask("del d; r.close()");
  });

  it("lets many threads of a process use one tensor", async () => {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("int64", [8]);
    tensor.data.fill(0n);
    await peer.ask(`
import threading
ref = ${literal(tensor.ref)}
def work(slot):
    for _ in range(300):
        with shm.open(ref) as t:
            t.numpy()[slot] += 1
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
del t`);
    assert.deepEqual([...tensor.data], Array(8).fill(300n));
    assert.deepEqual(await peer.ask("[r.holds for r in shm._regions.values()]"), [{}]);
  });

  it("refuses what is no reference, region or dtype", async () => {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("float32", [4]);
    const { ref } = tensor;
    const BAD: readonly (readonly [change: Record<string, unknown>, says: RegExp])[] = [
      [{ v: 2 }, /^ValueError: .*version 1/],
      [{ dtype: "string" }, /^ValueError: no dtype/],
      [{ shape: [5] }, /^ValueError: 20 bytes wanted/],
      [{ shape: [-4] }, /^ValueError: -4 is no number/],
      [{ shape: [1.5] }, /^ValueError: 1.5 is no number/],
      [{ byteOffset: 2 }, /^ValueError: whole elements/],
      [{ byteOffset: 0 }, /do not lie in region/],
      [{ byteOffset: 2 ** 40 }, /do not lie in region/],
      [{ byteOffset: ref.byteOffset + 64 }, /do not lie in their block/],
      [{ strides: [2] }, /lead out/],
      [{ generation: 2 ** 50 }, /blocks, not one of number/],
      [{ region: "../etc/passwd" }, /^ValueError: no region is called/],
      [{ region: `coload-${"0".repeat(32)}` }, /^StaleReference: .* is gone/],
    ];
    for (const [change, says] of BAD) {
      const said = await peer.ask(`shm.open(${literal({ ...ref, ...change })})`);
      assert.match(said as string, says, JSON.stringify(change));
    }
    assert.match(await peer.ask("shm.open({})") as string, /^ValueError: it is no reference/);
    for (const text of ["", "coload-tensor", "coload-tensor,1,x,1,1,1,float32,-2", "{"]) {
      assert.match(await peer.ask(`shm.open(${JSON.stringify(text)})`) as string, /Error: /);
    }
    assert.match(await peer.ask('shm.create("text", (1,))') as string, /^ValueError: no dtype/);
    assert.match(await peer.ask('shm.create("int8", (1,), "file")') as string, /^ValueError: "named" or "memfd"/);
    assert.match(await peer.ask("import numpy as np; shm.share(np.zeros(1, '>f4'))") as string, /^ValueError/);
  });
});

describe("Python's own ways to shared memory", { skip }, () => {
  /** What a peer says of a tensor, and whether the region is there when it has ended. */
  async function seen(code: (ref: TensorRef) => string, by: string = python): Promise<void> {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.share(Tensor.from(Float32Array.of(1, 2, 3)));
    const { ref } = tensor;
    {
      await using peer = new Peer(by);
      assert.deepEqual(await peer.ask(code(ref)), [1, 2, 3]);
      await peer.ask("a[1] = 9; del a");
      assert.deepEqual([...tensor.data], [1, 9, 3]);
    }
    assert.ok(readdirSync("/dev/shm").includes(ref.region));
    using again = Tensor.open(ref);
    assert.equal(again.as("float32").data[1], 9);
  }

  it("np.memmap", () =>
    seen(({ region, byteOffset }) =>
      "import numpy as np\n" +
      `a = np.memmap("/dev/shm/${region}", np.float32, "r+", offset=${byteOffset}, shape=(3,)); a.tolist()`
    ));

  const withTorch = torch(), skipTorch = "reason" in withTorch && withTorch.reason;
  it(
    "torch.from_file, which begins at the start of the file",
    { skip: skipTorch },
    () =>
      seen(({ region, byteOffset }) => {
        const elements = byteOffset / 4;
        return `import torch\na = torch.from_file("/dev/shm/${region}", True, ${
          elements + 3
        })[${elements}:]; a.tolist()`;
      }, (withTorch as { readonly python: string }).python),
  );

  it("multiprocessing.shared_memory, which must be told not to unlink", () =>
    seen(({ region, byteOffset }) => `
import sys, numpy as np
from multiprocessing import resource_tracker, shared_memory
if sys.version_info >= (3, 13):
    m = shared_memory.SharedMemory("${region}", track=False)
else:
    m = shared_memory.SharedMemory("${region}")
    resource_tracker.unregister(m._name, "shared_memory")
a = np.frombuffer(m.buf, np.float32, 3, ${byteOffset}); a.tolist()`));
});
