import { rangeError, typeError } from "../errors.ts";
import { checkDType, type DType, elementByteLength } from "./dtype.ts";
import { copyNumbers, copyShape, elementCount, isRowMajor, showShape } from "./shape.ts";

/**
 * A tensor in shared memory, as another process can open it: plain JSON of some hundred bytes, whatever the tensor's
 * size. It keeps nothing alive: whoever sends it holds the tensor until the other side has opened it, or uses
 * {@linkcode Tensor.handOff}.
 */
export interface TensorRef {
  /** The version of this form. */
  readonly v: 1;
  /** The name of the shared memory region. */
  readonly region: string;
  /**
   * Which block of the region it is, and which use of it: number of the block x 2^32 + how often it was allocated; and
   * 2^52 more in a reference that {@linkcode Tensor.handOff} made.
   */
  readonly generation: number;
  /** Where the elements start, in bytes from the start of the region. */
  readonly byteOffset: number;
  /** Bytes of the elements. */
  readonly byteLength: number;
  /** The type of the elements. */
  readonly dtype: DType;
  /** The length of each dimension. */
  readonly shape: readonly number[];
  /** How many elements it is from one to the next along each dimension; row-major without. */
  readonly strides?: readonly number[];
}

const PREFIX = "coload-tensor", VERSION = 1;

/**
 * A reference as one word, for a command line: it needs no quotes in any shell.
 *
 * @example
 * ```ts
 * import { formatTensorRef, SharedMemoryAllocator, Tensor } from "@coload/onnx";
 *
 * using allocator = new SharedMemoryAllocator();
 * using tensor = allocator.tensor("float32", [2, 3]);
 * const word = formatTensorRef(tensor.ref); // coload-tensor,1,coload-5f…,1,…,24,float32,2x3
 * using same = Tensor.open(word);
 * console.log(same.shape); // [ 2, 3 ]
 * ```
 */
export function formatTensorRef(ref: TensorRef): string {
  const { v, region, generation, byteOffset, byteLength, dtype, shape, strides } = ref;
  const fields = [PREFIX, v, region, generation, byteOffset, byteLength, dtype, shape.join("x")];
  return [...fields, ...(strides ? [strides.join("x")] : [])].join(",");
}

function invalid(why: string): TypeError {
  return typeError("INVALID_REFERENCE", `Cannot open a tensor reference: ${why}`);
}

function parse(text: string): unknown {
  if (text.startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw invalid(`its JSON ends early or is broken: ${(cause as Error).message}`);
    }
  }
  const fields = text.split(","), isNumber = (field: string) => /^\d{1,20}$/.test(field);
  const [prefix, v, region, generation, byteOffset, byteLength, dtype, shape, strides] = fields as string[];
  const lists = [shape, strides].filter((list) => list !== undefined && list !== "").map((list) => list!.split("x"));
  const numbers = [v, generation, byteOffset, byteLength].map((field) => field ?? "");
  if (prefix !== PREFIX || fields.length < 8 || fields.length > 9 || ![...numbers, ...lists.flat()].every(isNumber)) {
    throw invalid(`the text ${JSON.stringify(text.slice(0, 80))} is none`);
  }
  const toList = (list: string): number[] => list === "" ? [] : list.split("x").map(Number);
  return {
    v: Number(v),
    region,
    generation: Number(generation),
    byteOffset: Number(byteOffset),
    byteLength: Number(byteLength),
    dtype,
    shape: toList(shape!),
    ...(strides !== undefined && { strides: toList(strides) }),
  };
}

function checkCount(name: string, value: unknown): number {
  if (typeof value !== "number") throw invalid(`a number wanted as ${name}, ${typeof value} found`);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw rangeError(
    "OUT_OF_RANGE",
    `Cannot open a tensor reference: a whole number from 0 to 2^53 - 1 wanted as ${name}, ${value} found`,
  );
}

/** Refuses strides that lead out of the bytes. Returns them, or nothing where they are row-major. */
function checkStrides(
  given: unknown,
  shape: readonly number[],
  byteLength: number,
  elementBytes: number,
): readonly number[] | undefined {
  const strides = Array.isArray(given) ? copyNumbers(given) : undefined;
  if (strides?.length !== shape.length) {
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot open a tensor reference: ${shape.length} strides wanted for shape ${showShape(shape)}, ` +
        `${strides?.length ?? typeof given} found`,
    );
  }
  const backwards = strides.findIndex((stride) => !Number.isSafeInteger(stride) || stride < 0);
  if (backwards >= 0) {
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot open a tensor reference: strides from 0 up wanted, ${showShape(strides)} found`,
    );
  }
  const last = shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis]!, 0);
  if (!shape.includes(0) && !((last + 1) * elementBytes <= byteLength)) {
    throw rangeError(
      "OUT_OF_RANGE",
      `Cannot open a tensor reference: strides ${showShape(strides)} of shape ${showShape(shape)} lead to byte ` +
        `${(last + 1) * elementBytes}, of ${byteLength}`,
    );
  }
  return isRowMajor(shape, strides) ? undefined : Object.freeze(strides);
}

/**
 * A copy of a reference from outside of which every field was checked, as far as it can be without the memory.
 *
 * @throws {TypeError} INVALID_REFERENCE; INVALID_DTYPE; INVALID_SHAPE; INVALID_LAYOUT
 * @throws {RangeError} OUT_OF_RANGE; INVALID_SHAPE
 */
export function checkTensorRef(given: TensorRef | string): TensorRef {
  const found = (typeof given === "string" ? parse(given) : given) as Record<keyof TensorRef, unknown> | null;
  if (typeof found !== "object" || found === null) throw invalid(`an object or a text wanted, ${typeof found} found`);
  const { v, region, strides: givenStrides } = found;
  if (v !== VERSION) throw invalid(`version ${VERSION} wanted, ${typeof v === "number" ? v : typeof v} found`);
  if (typeof region !== "string") throw invalid(`the name of a region wanted, ${typeof region} found`);
  const generation = checkCount("generation", found.generation);
  const byteOffset = checkCount("byteOffset", found.byteOffset);
  const byteLength = checkCount("byteLength", found.byteLength);
  const dtype = found.dtype as DType;
  checkDType(dtype);
  const elementBytes = elementByteLength(dtype);
  if (elementBytes === 0) {
    throw typeError("INVALID_DTYPE", `Cannot open a tensor reference: ${dtype} lies in no shared memory`);
  }
  if (byteOffset % elementBytes !== 0 || byteLength % elementBytes !== 0) {
    throw rangeError(
      "OUT_OF_RANGE",
      `Cannot open a tensor reference: whole elements of ${elementBytes} bytes wanted, byteOffset ${byteOffset} and ` +
        `byteLength ${byteLength} found`,
    );
  }
  const shape = copyShape(found.shape as number[]), needed = elementCount(shape, elementBytes) * elementBytes;
  const strides = givenStrides === undefined ? undefined : checkStrides(givenStrides, shape, byteLength, elementBytes);
  if (strides === undefined && needed !== byteLength) {
    throw rangeError(
      "OUT_OF_RANGE",
      `Cannot open a tensor reference: ${needed} bytes wanted for ${dtype} ${showShape(shape)}, ${byteLength} found`,
    );
  }
  return { v: 1, region, generation, byteOffset, byteLength, dtype, shape, ...(strides && { strides }) };
}
