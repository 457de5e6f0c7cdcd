import { rangeError, staleError, typeError } from "../errors.ts";
import { BLOCK_COUNT } from "../memory/arena.ts";
import { HeldMemory, ReadOnlyMemory } from "../memory/held_memory.ts";
import { HeldBlock } from "../memory/holds.ts";
import { NativeBlock } from "../memory/native_block.ts";
import { joinRegion } from "../memory/regions.ts";
import type { DType } from "./dtype.ts";
import { AddressedStorage } from "./native_storage.ts";
import type { Storage } from "./storage.ts";
import type { Layout } from "./tensor_base.ts";
import { checkTensorRef, type TensorRef } from "./tensor_ref.ts";

/** Elements in memory that other processes see. */
export class SharedStorage extends AddressedStorage {
  override readonly kind = "shared";
  /** Where the memory lies. */
  readonly held: HeldBlock;
  /** Called when the storage is at its end, by dispose or without. */
  onEnd: (() => void) | undefined;
  #wasDropped = false;

  constructor(held: HeldBlock, readOnly: boolean) {
    super(new NativeBlock(readOnly ? new ReadOnlyMemory(held) : new HeldMemory(held)));
    this.held = held;
  }

  /** Lets the memory go when a tensor is collected that nobody disposed of, and then the views of it. */
  watch(tensor: object): void {
    dropped.register(tensor, this, this);
  }

  /** What others open the tensor by. */
  ref(dtype: DType, shape: readonly number[], strides: readonly number[] | undefined): TensorRef {
    const { region, index, generation, byteOffset, byteLength } = this.held;
    const ref = {
      v: 1,
      region: region.name,
      generation: index * BLOCK_COUNT + generation,
      byteOffset,
      byteLength,
    } as const;
    return { ...ref, dtype, shape: [...shape], ...(strides && { strides: [...strides] }) };
  }

  /** Moves the hold into a reference that is on its way until a time, in ms since 1970. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  send(deadline: number): void {
    this.checkWritable("hand off");
    const { region, index } = this.held;
    region.tables.send(index, deadline);
    this.dispose();
  }

  drop(): void {
    this.#wasDropped = true;
    this.dispose();
  }

  protected override free(): void {
    dropped.unregister(this);
    this.onEnd?.();
    if (this.#wasDropped) this.letViewsGo();
    else super.free();
  }
}

/** Whether two tensors lie in the same shared memory, in part at least: each has an address of its own for it. */
export function sharesMemory(one: Storage, other: Storage): boolean {
  if (!(one instanceof SharedStorage && other instanceof SharedStorage) || one === other) return false;
  const { held: a } = one, { held: b } = other;
  return a.region === b.region && a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength;
}

const dropped = new FinalizationRegistry<SharedStorage>((storage) => storage.drop());

/** What {@linkcode openShared} finds. */
export interface OpenedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly storage: SharedStorage;
  readonly layout: Layout;
}

/**
 * Opens a reference to shared memory, which this thread then holds.
 *
 * @throws {TypeError} @throws {RangeError} @throws {ReferenceError} @throws {NativeError} as `Tensor.open`
 */
export function openShared(given: TensorRef | string, readOnly: boolean): OpenedTensor {
  const { region: name, generation, byteOffset, byteLength, dtype, shape, strides } = checkTensorRef(given);
  const region = joinOrStale(name), { blockCapacity, dataOffset, byteLength: regionBytes } = region.layout;
  const index = Math.floor(generation / BLOCK_COUNT), end = byteOffset + byteLength;
  if (index >= blockCapacity) {
    const message =
      `Cannot open a tensor reference: generation ${generation} is of block ${index}, and region ${name} ` +
      `has ${blockCapacity}`;
    throw typeError("INVALID_REFERENCE", message);
  }
  if (byteOffset < dataOffset || end > regionBytes) throw outside(byteOffset, end, "region", dataOffset, regionBytes);
  const block = region.hold(index, generation % BLOCK_COUNT);
  if (byteOffset < block.byteOffset || end > block.byteOffset + block.byteLength) {
    region.release(index);
    throw outside(byteOffset, end, "block", block.byteOffset, block.byteOffset + block.byteLength);
  }
  const storage = new SharedStorage(new HeldBlock(region, index, block.generation, byteOffset, byteLength), readOnly);
  return { dtype, shape: Object.freeze(shape), storage, layout: { readOnly, ...(strides && { strides }) } };
}

function outside(start: number, end: number, what: string, from: number, to: number): RangeError {
  const message =
    `Cannot open a tensor reference: its bytes ${start} to ${end} do not lie in its ${what}, from ${from} ` +
    `to ${to}`;
  return rangeError("OUT_OF_RANGE", message);
}

function joinOrStale(name: string) {
  try {
    return joinRegion(name);
  } catch (error) {
    if ((error as { code?: string }).code !== "REGION_NOT_FOUND") throw error;
    throw staleError(`Cannot open a tensor reference: region ${name} is gone`, { cause: error });
  }
}
