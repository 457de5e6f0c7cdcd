// Opens the tensors of another process, and times that: see ../shared_open.ts.
import { ffi } from "../../ffi/mod.ts";
import { closeDescriptor, openShared } from "../../ffi/descriptors.ts";
import { mapMemory, PROT } from "../../ffi/native_memory.ts";
import { libc } from "../../ffi/libc.ts";
import { formatTensorRef, Tensor, type TensorRef } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { contest, type Contestant, percentile, type Result } from "../support/contest.ts";
import { onAverage, prepared, undone } from "../support/shared_timing.ts";

const BATCH = 64, BATCH_OF_VIEWS = 8, ROUNDS = 9, BUDGET_MS = 30, MAP_SHARED = 1;

const words = new BigUint64Array(ffi.view(mapMemory(4096).pointer, 4096));

/** What opening has to do at least: find the region, mark the block as held, look at its generation, make an object. */
function least({ region, generation }: TensorRef): () => object {
  const regions = new Map([[region, words]]);
  return () => {
    const found = regions.get(region)!, before = Atomics.load(found, 0);
    Atomics.compareExchange(found, 0, before, before | 2n);
    return { generation: Atomics.load(found, 1), wanted: generation };
  };
}

/** What a program does without a library, each time. */
function mapByHand({ region, byteOffset, byteLength }: TensorRef): void {
  const fd = openShared(region), length = BigInt(byteOffset + byteLength);
  const pointer = libc().mmap(null, length, PROT.READ | PROT.WRITE, MAP_SHARED, fd, 0n);
  libc().munmap(pointer, length);
  closeDescriptor(fd);
}

function close(tensor: Tensor): void {
  tensor[Symbol.dispose]();
}

function detach({ buffer }: Float32Array<ArrayBuffer>): void {
  buffer.transfer(0);
}

function openAndLook(ref: TensorRef, readOnly = false): Tensor {
  const tensor = Tensor.open(ref, { readOnly });
  tensor.data;
  return tensor;
}

function ways(ref: TensorRef): Contestant[] {
  const json = JSON.stringify(ref), word = formatTensorRef(ref), memory = mapMemory(ref.byteLength);
  const bareView = (): Float32Array<ArrayBuffer> => new Float32Array(ffi.view(memory.pointer, ref.byteLength));
  return [
    undone("least", BATCH, least(ref), () => {}),
    undone("open", BATCH, () => Tensor.open(ref), close),
    undone("openAndDispose", BATCH, () => close(Tensor.open(ref)), () => {}),
    prepared("dispose", BATCH, () => Tensor.open(ref), close),
    undone("parse", BATCH, () => JSON.parse(json), () => {}),
    undone("openJson", BATCH, () => Tensor.open(json), close),
    undone("openWord", BATCH, () => Tensor.open(word), close),
    undone("openReadOnly", BATCH, () => Tensor.open(ref, { readOnly: true }), close),
    undone("bareView", BATCH_OF_VIEWS, bareView, detach),
    undone("openAndData", BATCH_OF_VIEWS, () => openAndLook(ref), close),
    undone("readOnlyAndData", BATCH_OF_VIEWS, () => openAndLook(ref, true), close),
    onAverage("bareViewLeft", bareView, () => {}),
    onAverage("bareViewDetached", bareView, detach),
    onAverage("openAndDataOnAverage", () => openAndLook(ref), close),
    undone("byHand", BATCH_OF_VIEWS, () => mapByHand(ref), () => {}),
  ];
}

await answer({
  /** Results by way and size, the first of the refs being in warm regions from then on. */
  async contest(refs: Record<string, TensorRef>): Promise<Result[]> {
    const all = Object.entries(refs).flatMap(([size, ref]) =>
      ways(ref).map((way): Contestant => ({ ...way, name: `${way.name} ${size}` }))
    );
    return await contest(all, ROUNDS, BUDGET_MS);
  },
  /** How long it takes to open the first tensor of a region, in us: the median. */
  first(refs: readonly TensorRef[]): number {
    const opened: Tensor[] = [];
    const took = refs.map((ref) => {
      const started = performance.now();
      opened.push(Tensor.open(ref));
      return performance.now() - started;
    });
    opened.forEach(close);
    return 1000 * percentile(took, 0.5);
  },
});
