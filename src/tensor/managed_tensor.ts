import {
  callDeleter,
  DL_CODE,
  DL_DEVICES,
  DL_VERSION,
  type ManagedTensor,
  readManagedTensor,
} from "../../ffi/dlpack.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { collectReturned } from "../../ffi/process/loans.ts";
import { typeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import type { DType } from "./dtype.ts";
import { checkForeign, foreignStorage, layoutOf } from "./foreign_layout.ts";
import { makeTensor, type Tensor } from "./tensor.ts";

/** `DLDataTypeCode` and bits of each dtype that lies in memory. */
export const DL_TYPES: Readonly<Partial<Record<DType, readonly [code: number, bits: number]>>> = {
  float32: [DL_CODE.float, 32],
  float64: [DL_CODE.float, 64],
  float16: [DL_CODE.float, 16],
  bfloat16: [DL_CODE.bfloat, 16],
  int8: [DL_CODE.int, 8],
  int16: [DL_CODE.int, 16],
  int32: [DL_CODE.int, 32],
  int64: [DL_CODE.int, 64],
  uint8: [DL_CODE.uint, 8],
  uint16: [DL_CODE.uint, 16],
  uint32: [DL_CODE.uint, 32],
  uint64: [DL_CODE.uint, 64],
  bool: [DL_CODE.bool, 8],
};
const DTYPE_OF = new Map(
  Object.entries(DL_TYPES).map(([dtype, [code, bits]]) => [code * 256 + bits, dtype as DType]),
);
const CODE_NAMES = Object.keys(DL_CODE);
/** `DLDeviceType`s whose memory the CPU reaches: its own, and what a GPU has pinned of it. */
const ON_CPU: readonly number[] = [1, 3, 11];

function dtypeOf({ code, bits, lanes }: ManagedTensor, doing: string): DType {
  const dtype = lanes === 1 ? DTYPE_OF.get(code * 256 + bits) : undefined;
  if (dtype !== undefined) return dtype;
  const found = `${CODE_NAMES[code] ?? `type ${code}`}${bits}${lanes === 1 ? "" : ` x ${lanes}`}`;
  const known = Object.keys(DL_TYPES).join(", ");
  throw typeError("INVALID_DTYPE", `Cannot ${doing}: one of the dtypes ${known} wanted, ${found} found`);
}

/** How its memory lies. @throws as {@linkcode adoptManagedTensor} */
function interpret(managed: ManagedTensor, versioned: boolean, doing: string) {
  const { major, minor, deviceType, deviceId, dimensions, shape, strides, data } = managed;
  if (versioned && major !== DL_VERSION.major) {
    const found = `version ${major}.${minor}`;
    throw typeError("UNSUPPORTED", `Cannot ${doing}: version ${DL_VERSION.major} of DLPack wanted, ${found} found`);
  }
  if (!ON_CPU.includes(deviceType)) {
    const device = `${DL_DEVICES[deviceType] ?? `device type ${deviceType}`}:${deviceId}`;
    throw typeError("UNSUPPORTED", `Cannot ${doing}: one in the CPU's memory wanted, one on ${device} found`);
  }
  if (shape.length !== dimensions) {
    throw typeError("INVALID_SHAPE", `Cannot ${doing}: a shape wanted, none for ${dimensions} dimensions found`);
  }
  const dtype = dtypeOf(managed, doing);
  return { dtype, ...checkForeign({ doing, address: data, dtype, shape, strides }) };
}

/**
 * Makes a tensor of a managed tensor of DLPack, which it owns from the call on: its deleter is called when the tensor
 * is disposed, or at once where this throws.
 *
 * @param doing what messages say, such as "take a DLPack tensor"
 * @throws {TypeError} UNSUPPORTED for another version, or memory that is not the CPU's; INVALID_DTYPE; INVALID_LAYOUT
 * for strides below 0 or unaligned elements; INVALID_SHAPE
 * @throws {RangeError} INVALID_SHAPE
 */
export function adoptManagedTensor(pointer: Pointer, versioned: boolean, doing: string): Tensor {
  const managed = readManagedTensor(pointer, versioned), { deleter, readOnly } = managed;
  try {
    const { dtype, byteLength, shape, strides } = interpret(managed, versioned, doing);
    const handle = deleter && new Handle("dlpack", pointer, { release: deleter, foreign: true });
    const memory = ffi.pointer(managed.data) ?? pointer; // of no bytes there is nothing to see
    const release = () => {
      const owned = handle?.take();
      if (deleter && owned) callDeleter(deleter, owned);
      collectReturned(); // as it may have been a tensor of this thread's
    };
    const storage = foreignStorage({ pointer: memory, byteLength, readOnly, release, abandon: () => handle?.take() });
    return makeTensor(dtype, shape, storage, layoutOf(readOnly, strides));
  } catch (error) {
    if (deleter) callDeleter(deleter, pointer);
    collectReturned();
    throw error;
  }
}
