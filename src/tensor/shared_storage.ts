import { rangeError, staleError, typeError } from "../errors.ts";
import { packGeneration, unpackGeneration } from "../memory/block_use.ts";
import { HeldMemory, ReadOnlyMemory } from "../memory/held_memory.ts";
import { HeldBlock } from "../memory/holds.ts";
import { NativeBlock } from "../memory/native_block.ts";
import type { Region } from "../memory/region.ts";
import { joinRegion } from "../memory/regions.ts";
import type { DType, NumericData } from "./dtype.ts";
import { AddressedStorage } from "./native_storage.ts";
import type { Storage } from "./storage.ts";
import type { Layout } from "./tensor_base.ts";
import { checkTensorRef, type TensorRef } from "./tensor_ref.ts";

/** Elements in memory that other processes see. */
export class SharedStorage extends AddressedStorage {
  override readonly kind = "shared";
  /** Where the memory lies. */
  readonly held: HeldBlock;
  readonly #readOnly: boolean;
  #wasDropped = false;

  constructor(held: HeldBlock, readOnly: boolean) {
    super(new NativeBlock(readOnly ? new ReadOnlyMemory(held) : new HeldMemory(held)));
    this.held = held;
    this.#readOnly = readOnly;
  }

  override data(dtype: DType): NumericData {
    const data = super.data(dtype);
    if (this.#readOnly) elsewhere.set(data.buffer, this.held);
    return data;
  }

  /** Lets the memory go when a tensor is collected that nobody disposed of, and then the views of it. */
  watch(tensor: object): void {
    dropped.register(tensor, this, this);
  }

  /** What others open the tensor by. */
  ref(dtype: DType, shape: readonly number[], strides: readonly number[] | undefined, handedOff: boolean): TensorRef {
    const { region, index, generation, byteOffset, byteLength } = this.held;
    return {
      v: 1,
      region: region.name,
      generation: packGeneration({ index, generation, handedOff }),
      byteOffset,
      byteLength,
      dtype,
      shape: [...shape],
      ...(strides && { strides: [...strides] }),
    };
  }

  /** Moves the hold into a reference that is on its way until a time, in ms since 1970. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  send(deadline: number): void {
    this.checkWritable("hand off");
    const { region, index } = this.held;
    if (!region.tables.send(index, deadline)) {
      throw typeError("TENSOR_BUSY", "Cannot hand off tensor: another reference to it is on its way");
    }
    this.dispose();
  }

  /** Has something done when its memory is let go. It may not refer to the tensor. */
  onEnd(listener: () => void): void {
    this.block.onEnd = listener;
  }

  /** For a finalizer: the tensor is gone, but views of it may live. The memory goes with the last of them. */
  drop(): void {
    this.#wasDropped = true;
    this.dispose();
  }

  /** For the scope it belongs to: disposes of it, and detaches also the views that outlived a dropped tensor. */
  end(): void {
    this.dispose();
    if (!this.#wasDropped) return;
    if (this.isLent) this.#wasDropped = false; // and so when it comes back
    else this.block.dispose();
  }

  protected override free(): void {
    dropped.unregister(this);
    if (this.#wasDropped) this.letViewsGo();
    else super.free();
  }
}

/** Whether two tensors lie in the same shared memory, in part at least: each has an address of its own for it. */
export function sharesMemory(one: Storage, other: Storage): boolean {
  if (!(one instanceof SharedStorage && other instanceof SharedStorage) || one === other) return false;
  return overlap(one.held, other.held);
}

/** Whether a buffer is a read-only view of a tensor's shared memory, for which it has another address. */
export function isViewOf(buffer: ArrayBuffer, storage: Storage): boolean {
  const held = elsewhere.get(buffer);
  return held !== undefined && storage instanceof SharedStorage && overlap(held, storage.held);
}

function overlap(a: HeldBlock, b: HeldBlock): boolean {
  return a.region === b.region && a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength;
}

/** Buffers of read-only tensors, which have addresses of their own. */
const elsewhere = new WeakMap<ArrayBuffer, HeldBlock>();

const dropped = new FinalizationRegistry<SharedStorage>((storage) => storage.drop());

/** What {@linkcode openShared} finds. */
export interface OpenedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly storage: SharedStorage;
  readonly layout: Layout | undefined;
}

/**
 * Opens a reference to shared memory, which this thread then holds.
 *
 * @throws {TypeError} @throws {RangeError} @throws {ReferenceError} @throws {NativeError} as `Tensor.open`
 */
export function openShared(given: TensorRef | string, readOnly: boolean): OpenedTensor {
  const { region: name, generation: packed, byteOffset, byteLength, dtype, shape, strides } = checkTensorRef(given);
  const region = joinOrStale(name), { blockCapacity, dataOffset, byteLength: regionBytes } = region.layout;
  const { index, generation, handedOff } = unpackGeneration(packed), end = byteOffset + byteLength;
  if (index >= blockCapacity) {
    const message = `Cannot open a tensor reference: generation ${packed} is of block ${index}, and region ${name} ` +
      `has ${blockCapacity}`;
    throw typeError("INVALID_REFERENCE", message);
  }
  if (byteOffset < dataOffset || end > regionBytes) throw outside(byteOffset, end, "region", dataOffset, regionBytes);
  const block = region.hold(index, generation);
  if (byteOffset < block.byteOffset || end > block.byteOffset + block.byteLength) {
    region.release(index);
    throw outside(byteOffset, end, "block", block.byteOffset, block.byteOffset + block.byteLength);
  }
  if (handedOff) region.tables.receive(index);
  const storage = new SharedStorage(new HeldBlock(region, index, block.generation, byteOffset, byteLength), readOnly);
  const layout = readOnly || strides ? { readOnly, ...(strides && { strides }) } : undefined;
  return { dtype, shape, storage, layout };
}

function outside(start: number, end: number, what: string, from: number, to: number): RangeError {
  const message =
    `Cannot open a tensor reference: its bytes ${start} to ${end} do not lie in its ${what}, from ${from} ` +
    `to ${to}`;
  return rangeError("OUT_OF_RANGE", message);
}

function joinOrStale(name: string): Region {
  try {
    return joinRegion(name);
  } catch (error) {
    if ((error as { code?: string }).code !== "REGION_NOT_FOUND") throw error;
    throw staleError(`Cannot open a tensor reference: region ${name} is gone`, { cause: error });
  }
}
