/**
 * The structs of DLPack, as dlpack.h 1.1 lays them out on 64-bit machines.
 *
 * `DLTensor`, 48 bytes: +0 data, +8 device type (i32), +12 device id (i32), +16 ndim (i32), +20 type code (u8),
 * +21 bits (u8), +22 lanes (u16), +24 int64_t *shape, +32 int64_t *strides (in elements; NULL: row-major),
 * +40 byte offset (u64).
 * `DLManagedTensor`, 64 bytes: +0 DLTensor, +48 manager_ctx, +56 deleter.
 * `DLManagedTensorVersioned`, 80 bytes: +0 major, +4 minor (u32), +8 manager_ctx, +16 deleter, +24 flags (u64),
 * +32 DLTensor.
 *
 * @module
 */
import { libc } from "./libc.ts";
import { ffi, type Native, type Pointer } from "./mod.ts";

/** `DLDataTypeCode` */
export const DL_CODE = { int: 0, uint: 1, float: 2, opaque: 3, bfloat: 4, complex: 5, bool: 6 } as const;
/** `DLDeviceType`, by number. */
export const DL_DEVICES: Readonly<Record<number, string>> = {
  1: "CPU",
  2: "CUDA",
  3: "CUDA host",
  4: "OpenCL",
  7: "Vulkan",
  8: "Metal",
  9: "VPI",
  10: "ROCm",
  11: "ROCm host",
  12: "external",
  13: "CUDA managed",
  14: "oneAPI",
  15: "WebGPU",
  16: "Hexagon",
  17: "MAIA",
};
/** The version that is written. Any minor version of the same major one can be read. */
export const DL_VERSION = { major: 1, minor: 1 } as const;
const READ_ONLY = 1n, TENSOR_BYTES = 48, MANAGED_BYTES = 64, VERSIONED_BYTES = 80, CPU = 1;
/** What others allow at most: NumPy 64. More is garbage. */
const MOST_DIMENSIONS = 255;

/** What a managed tensor says. Nothing of it is checked, except that there is no more to read than there is. */
export interface ManagedTensor {
  readonly major: number;
  readonly minor: number;
  /** Of the elements, `byteOffset` included; 0 for NULL. */
  readonly data: bigint;
  readonly deviceType: number;
  readonly deviceId: number;
  readonly code: number;
  readonly bits: number;
  readonly lanes: number;
  readonly dimensions: number;
  /** Not read beyond 255 dimensions, or where the major version is another. */
  readonly shape: readonly number[];
  /** `undefined` for NULL. */
  readonly strides: readonly number[] | undefined;
  readonly readOnly: boolean;
  /** `void (*)(self)`; `null` where there is nothing to call. */
  readonly deleter: Pointer | null;
}

/** What {@linkcode writeManagedTensor} writes. */
export interface TensorToWrite {
  readonly data: bigint;
  readonly code: number;
  readonly bits: number;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  readonly readOnly: boolean;
  readonly deleter: bigint;
  /** What the deleter finds. */
  readonly context: bigint;
}

/** What is read is copied to here: making a view of it would take longer. */
const struct = new Uint8Array(VERSIONED_BYTES), view = new DataView(struct.buffer);
const list = new BigInt64Array(MOST_DIMENSIONS);

function numbers(address: bigint, count: number): number[] {
  if (count > 0) libc().memcpy(list, ffi.pointer(address), BigInt(count * 8));
  return Array.from({ length: count }, (_, i) => Number(list[i]));
}

/** Reads a managed tensor, which must be alive. */
export function readManagedTensor(pointer: Pointer, versioned: boolean): ManagedTensor {
  libc().memcpy(struct, pointer, BigInt(versioned ? VERSIONED_BYTES : MANAGED_BYTES));
  const major = versioned ? view.getUint32(0, true) : 0, minor = versioned ? view.getUint32(4, true) : 0;
  const deleter = ffi.pointer(view.getBigUint64(versioned ? 16 : 56, true));
  const at = versioned ? VERSIONED_BYTES - TENSOR_BYTES : 0, dimensions = view.getInt32(at + 16, true);
  const isKnown = dimensions >= 0 && dimensions <= MOST_DIMENSIONS && (!versioned || major === DL_VERSION.major);
  const shape = view.getBigUint64(at + 24, true), strides = view.getBigUint64(at + 32, true);
  const data = view.getBigUint64(at, true);
  return {
    major,
    minor,
    data: data === 0n ? 0n : data + view.getBigUint64(at + 40, true),
    deviceType: view.getInt32(at + 8, true),
    deviceId: view.getInt32(at + 12, true),
    code: view.getUint8(at + 20),
    bits: view.getUint8(at + 21),
    lanes: view.getUint16(at + 22, true),
    dimensions,
    shape: isKnown && shape !== 0n ? numbers(shape, dimensions) : [],
    strides: isKnown && strides !== 0n ? numbers(strides, dimensions) : undefined,
    readOnly: versioned && (view.getBigUint64(24, true) & READ_ONLY) !== 0n,
    deleter,
  };
}

/** Bytes that a managed tensor takes, its shape and strides included. */
export function managedTensorBytes(dimensions: number, versioned: boolean): number {
  return (versioned ? VERSIONED_BYTES : MANAGED_BYTES) + 16 * dimensions;
}

/** Writes a managed tensor of the CPU's memory, with its shape and strides behind it. */
export function writeManagedTensor(view: DataView, address: bigint, tensor: TensorToWrite, versioned: boolean): void {
  const { data, code, bits, shape, strides, readOnly, deleter, context } = tensor;
  const lists = versioned ? VERSIONED_BYTES : MANAGED_BYTES, at = versioned ? VERSIONED_BYTES - TENSOR_BYTES : 0;
  if (versioned) {
    view.setUint32(0, DL_VERSION.major, true);
    view.setUint32(4, DL_VERSION.minor, true);
    view.setBigUint64(24, readOnly ? READ_ONLY : 0n, true);
  }
  view.setBigUint64(versioned ? 8 : 48, context, true);
  view.setBigUint64(versioned ? 16 : 56, deleter, true);
  view.setBigUint64(at, data, true);
  view.setInt32(at + 8, CPU, true);
  view.setInt32(at + 12, 0, true);
  view.setInt32(at + 16, shape.length, true);
  view.setUint8(at + 20, code);
  view.setUint8(at + 21, bits);
  view.setUint16(at + 22, 1, true);
  view.setBigUint64(at + 24, address + BigInt(lists), true);
  view.setBigUint64(at + 32, address + BigInt(lists + 8 * shape.length), true);
  view.setBigUint64(at + 40, 0n, true);
  for (let axis = 0; axis < shape.length; axis++) {
    view.setBigInt64(lists + 8 * axis, BigInt(shape[axis]!), true);
    view.setBigInt64(lists + 8 * (shape.length + axis), BigInt(strides[axis]!), true);
  }
}

const DELETER = { parameters: ["pointer"], result: "void" } as const;
const deleters = new Map<bigint, Native<typeof DELETER>>();

/** Calls a deleter: what it was given must not be touched any more. Libraries have few of them, so each is kept. */
export function callDeleter(deleter: Pointer, managed: Pointer): void {
  const address = ffi.address(deleter);
  let call = deleters.get(address);
  if (call === undefined) {
    call = ffi.link({ deleter }, { deleter: DELETER }).symbols.deleter;
    deleters.set(address, call);
  }
  call(managed);
}
