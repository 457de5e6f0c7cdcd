/** What a peer can be asked for. Tensors are known by the number that `allocate` or `open` returned. */
import { spawn } from "node:child_process";
import { closeSync, ftruncateSync, openSync } from "node:fs";
import process from "node:process";
import { sharedMemoryCapabilities } from "../../../src/memory/shared_memory_capabilities.ts";
import { SharedMemoryRegion } from "../../../src/memory/shared_memory_region.ts";
import { sweepSharedMemory } from "../../../src/memory/regions.ts";
import type { NumericDType } from "../../../src/tensor/dtype.ts";
import {
  type AllocatorMetrics,
  type AllocatorOptions,
  SharedMemoryAllocator,
} from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { formatTensorRef, type TensorRef } from "../../../src/tensor/tensor_ref.ts";
import { atomicLoops, type Loop } from "./atomics.ts";

const tensors = new Map<number, Tensor<NumericDType>>();
let allocator = new SharedMemoryAllocator();
let region: SharedMemoryRegion | undefined;
let numbers = 0;

/** A tensor of a peer's. */
export interface Made {
  readonly id: number;
  readonly ref: TensorRef;
  readonly word: string;
}

function keep(tensor: Tensor): Made {
  const id = ++numbers, { ref } = tensor;
  tensors.set(id, tensor as Tensor<NumericDType>);
  return { id, ref, word: formatTensorRef(ref) };
}

function bytesOf(id: number): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensors.get(id)!.data as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function take(id: number): Tensor {
  const tensor = tensors.get(id)!;
  tensors.delete(id);
  return tensor;
}

/** A peer's part of the tests. */
export const actions = {
  hello(): { pid: number; uid: number } {
    return { pid: process.pid, uid: process.geteuid!() };
  },

  /** Starts anew with an allocator of these options. The old one is disposed. */
  allocateBy(options: AllocatorOptions): void {
    allocator[Symbol.dispose]();
    allocator = new SharedMemoryAllocator(options);
  },

  allocate(dtype: NumericDType, shape: number[]): Made {
    return keep(allocator.tensor(dtype, shape));
  },

  open(ref: TensorRef | string, options: { readOnly?: boolean } = {}): number {
    return keep(Tensor.open(ref, options)).id;
  },

  read(id: number, index: number): number {
    return Number(tensors.get(id)!.data[index]);
  },

  write(id: number, index: number, value: number): void {
    tensors.get(id)!.data[index] = value;
  },

  /** Writes all bytes of a tensor. */
  fill(id: number, value: number): void {
    bytesOf(id).fill(value);
  },

  /** Whether each byte of a tensor is so. */
  isFilled(id: number, value: number): boolean {
    return bytesOf(id).every((byte) => byte === value);
  },

  dispose(id: number): void {
    take(id)[Symbol.dispose]();
  },

  disposeAllocator(): void {
    allocator[Symbol.dispose]();
  },

  /** Lets go of everything, as a program does that ends as it should. */
  disposeAll(): void {
    for (const id of [...tensors.keys()]) take(id)[Symbol.dispose]();
    region?.[Symbol.dispose]();
    allocator[Symbol.dispose]();
  },

  handOff(id: number, ttlMs?: number): TensorRef {
    return take(id).handOff(ttlMs === undefined ? {} : { ttlMs });
  },

  sweep(): { count: number; bytes: number } {
    return sweepSharedMemory();
  },

  metrics(): AllocatorMetrics {
    return allocator.metrics();
  },

  leftOver(): { count: number; bytes: number } {
    return sharedMemoryCapabilities().leftOver;
  },

  /** Sends a tensor of its own as bytes, to itself. */
  travelAsBytes(values: number[]): number[] {
    return [...Tensor.fromBytes(Tensor.from(values, [values.length], "float32").toBytes()).as("float32").data];
  },

  openDescriptor(descriptor: number): string {
    region?.[Symbol.dispose]();
    region = SharedMemoryRegion.openDescriptor(descriptor);
    return region.name;
  },

  openRegion(name: string): string {
    region?.[Symbol.dispose]();
    region = SharedMemoryRegion.open(name);
    return region.name;
  },

  makeRegion(backend: "named" | "memfd"): string {
    region?.[Symbol.dispose]();
    region = SharedMemoryRegion.create(4096, { backend });
    return region.name;
  },

  /** Changes the size of a file, by a descriptor of its own. */
  truncate(path: string, byteLength: number): void {
    const fd = openSync(path, "r+");
    try {
      ftruncateSync(fd, byteLength);
    } finally {
      closeSync(fd);
    }
  },

  /** Starts a process that knows nothing of all this, and outlives this one. */
  startSleep(): number {
    const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
    child.unref();
    return child.pid!;
  },

  /** Opens files, and keeps them. */
  openFiles(paths: string[]): void {
    for (const path of paths) openSync(path, "r");
  },

  /** Runs a loop of atomic operations on a tensor, as one of two. */
  loop(loop: Loop, id: number, self: 0 | 1, count: number): number {
    return atomicLoops[loop](tensors.get(id)!.data, self, count);
  },
};

export type Actions = typeof actions;
