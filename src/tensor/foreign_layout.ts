import { ffi, type Pointer } from "../../ffi/mod.ts";
import { isWritable } from "../../ffi/native_memory.ts";
import { rangeError, typeError } from "../errors.ts";
import { type DType, elementByteLength } from "./dtype.ts";
import { adoptedNativeStorage, NativeStorage, ProtectedStorage } from "./native_storage.ts";
import { elementCount, isRowMajor, showShape } from "./shape.ts";
import type { Layout } from "./tensor_base.ts";

/** What somebody else says a tensor in this process's memory is. */
export interface ForeignTensor {
  /** What messages say is done with it, such as "take a DLPack tensor". */
  readonly doing: string;
  /** Of the first element; 0 for NULL. */
  readonly address: bigint;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements; row-major without. */
  readonly strides: readonly number[] | undefined;
}

/** The layout of such a tensor, as this library has it. */
export interface CheckedLayout {
  /** From the first element to the end of the last one. */
  readonly byteLength: number;
  /** Frozen. */
  readonly shape: readonly number[];
  /** Frozen; `undefined` where they are row-major. */
  readonly strides: readonly number[] | undefined;
}

/**
 * Refuses what no tensor here can be.
 *
 * @throws {RangeError} INVALID_SHAPE
 * @throws {TypeError} INVALID_LAYOUT for strides below 0, or elements that are not aligned; INVALID_ARGUMENT for none
 */
export function checkForeign({ doing, address, dtype, shape, strides }: ForeignTensor): CheckedLayout {
  const elementBytes = elementByteLength(dtype);
  if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
    throw rangeError("INVALID_SHAPE", `Cannot ${doing}: lengths from 0 up wanted, shape ${showShape(shape)} found`);
  }
  const size = elementCount(shape, elementBytes);
  if (size > 0 && address === 0n) {
    throw typeError("INVALID_ARGUMENT", `Cannot ${doing} of shape ${showShape(shape)}: its memory is at address 0`);
  }
  if (size > 0 && address % BigInt(elementBytes) !== 0n) {
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot ${doing}: elements of ${dtype} at multiples of ${elementBytes} bytes wanted, address ${address} found; ` +
        "copy it first",
    );
  }
  if (strides !== undefined && strides.length !== shape.length) {
    const found = `${strides.length} found`;
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot ${doing}: ${shape.length} strides wanted for shape ${showShape(shape)}, ${found}`,
    );
  }
  const isPlain = strides === undefined || isRowMajor(shape, strides);
  if (isPlain) return { byteLength: size * elementBytes, shape: Object.freeze([...shape]), strides: undefined };
  if (!strides.every((stride) => Number.isSafeInteger(stride) && stride >= 0)) {
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot ${doing} of shape ${showShape(shape)}: strides from 0 up wanted, ${
        showShape(strides)
      } found; copy it first`,
    );
  }
  const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis]!, 0);
  if (!Number.isSafeInteger((last + 1) * elementBytes)) {
    throw rangeError("INVALID_SHAPE", `Cannot ${doing}: strides ${showShape(strides)} lead too far`);
  }
  return {
    byteLength: (last + 1) * elementBytes,
    shape: Object.freeze([...shape]),
    strides: Object.freeze([...strides]),
  };
}

/** Somebody else's memory, and how it is given back. */
export interface ForeignMemory {
  readonly pointer: Pointer;
  readonly byteLength: number;
  readonly readOnly: boolean;
  /** Gives it back; called once. */
  readonly release: () => void;
  /** Called instead where it can never be given back, as a buffer over it was transferred away. */
  readonly abandon: () => void;
}

/** A storage over somebody else's memory. */
export function foreignStorage({ pointer, byteLength, readOnly, release, abandon }: ForeignMemory): NativeStorage {
  const isProtected = readOnly && byteLength > 0 && !isWritable(ffi.address(pointer));
  return adoptedNativeStorage(pointer, byteLength, release, abandon, isProtected ? ProtectedStorage : NativeStorage);
}

/** The layout of a tensor; `undefined` for one that is row-major and may be written. */
export function layoutOf(readOnly: boolean, strides: readonly number[] | undefined): Layout | undefined {
  return readOnly || strides ? { readOnly, ...(strides && { strides }) } : undefined;
}
