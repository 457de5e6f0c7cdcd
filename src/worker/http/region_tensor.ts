import { checkByteLength, decodeBinaryData } from "../../protocol/oip/binary_data.ts";
import type { RegionPart } from "../../protocol/oip/infer_request.ts";
import { MemoryError } from "../../errors.ts";
import type { DType } from "../../tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../tensor/shared_memory_allocator.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ClientRegions } from "./client_regions.ts";

/** From so many bytes on, they are read to where executors take them without another copy. */
const SHARED_FROM = 1 << 16;

/** A tensor that a caller says lies in one of its regions. */
export interface RegionTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly part: RegionPart;
}

/** Copies it. @throws {OipError} 400 where it is not there */
export function readTensor(regions: ClientRegions, { name, dtype, shape, part }: RegionTensor): Tensor {
  const { byteLength } = part, described = { what: `input "${name}"`, dtype, shape };
  checkByteLength(described, byteLength);
  const isAsItLies = dtype !== "string" && dtype !== "bool"; // of those not every byte is an element
  const shared = isAsItLies && byteLength >= SHARED_FROM ? sharedTensor(dtype, shape) : undefined;
  if (shared === undefined) {
    const bytes = new Uint8Array(byteLength);
    regions.read(part, bytes);
    return decodeBinaryData(described, bytes);
  }
  try {
    regions.read(part, new Uint8Array((shared.data as Uint8Array).buffer as ArrayBuffer));
    return shared;
  } catch (error) {
    shared[Symbol.dispose]();
    throw error;
  }
}

function sharedTensor(dtype: DType, shape: readonly number[]): Tensor | undefined {
  try {
    return SharedMemoryAllocator.default.tensor(dtype, shape);
  } catch (error) {
    if (error instanceof MemoryError) return undefined; // /dev/shm is full: they are copied once more
    throw error;
  }
}
