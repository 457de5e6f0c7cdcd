import { ffi, type Pointer } from "../../ffi/mod.ts";
import { PY_BUFFER_BYTES, PYBUF_SIMPLE, type PythonApi } from "../../ffi/python.ts";
import { typeError } from "../errors.ts";
import { Block } from "../memory/block.ts";
import {
  adoptManagedTensor,
  checkForeign,
  type DType,
  foreignStorage,
  layoutOf,
  makeTensor,
  storageOf,
  stridesOf,
} from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { capsuleNames } from "./capsule_names.ts";
import { Held } from "./held.ts";
import type { Interpreter, Reference } from "./interpreter.ts";

const DOING = "take a tensor from Python";
/** `typestr` of each dtype, without the byte order. */
const DTYPES: Readonly<Record<string, DType>> = {
  b1: "bool",
  f2: "float16",
  f4: "float32",
  f8: "float64",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
};
const KINDS: Readonly<Record<string, string>> = {
  O: "objects",
  M: "dates",
  m: "durations",
  S: "bytes",
  a: "bytes",
  U: "text",
  V: "structures",
  c: "complex numbers",
};

/** What this thread knows of a class. */
interface Class {
  /** Whether its `__dlpack__` takes no version, as that of NumPy 1 and of older torch. */
  isUnversioned: boolean;
  /** Whether its booleans go as bytes: older torch lends them to nobody, and loses memory when it is asked to. */
  readonly isTorch: boolean;
}

/** Classes by their addresses. */
const classes = new Map<bigint, Class>();

/** A tensor over the memory of an array or tensor of Python's. Within the lock. @throws as `Python.fromPython` */
export function fromPython(python: Interpreter, object: Reference): Tensor {
  const known = classOf(python, object);
  if (known.isTorch) {
    const bytes = python.brief(python.call("bytes_of_booleans", [object], DOING));
    if (ffi.address(bytes) !== python.constants.none) return asBooleans(fromExporter(python, bytes, known));
  }
  return fromExporter(python, object, known);
}

function classOf(python: Interpreter, object: Reference): Class {
  const { api, constants } = python, type = api.PyObject_Type(object)!, address = ffi.address(type);
  const known = classes.get(address);
  if (known !== undefined) {
    api.Py_DecRef(type);
    return known;
  }
  const isTorch = ffi.address(python.brief(python.call("is_torch", [object], DOING))) === constants.true;
  const made = { isUnversioned: false, isTorch };
  classes.set(address, made); // and the class is kept, as its address could be another's
  return made;
}

function fromExporter(python: Interpreter, object: Reference, known: Class): Tensor {
  const capsule = exported(python, object, known);
  return capsule === null ? otherwise(python, object) : fromCapsule(python.api, python.brief(capsule));
}

/** The capsule that `__dlpack__` gives, a new reference; or `null` and an exception. */
function exported(python: Interpreter, object: Reference, known: Class): Pointer | null {
  const { api, constants } = python;
  if (known.isUnversioned) return python.callMethod(object, "__dlpack__", []);
  const capsule = python.callMethod(object, "__dlpack__", [python.dlpackVersion], python.dlpackKeyword);
  if (capsule !== null || api.PyErr_ExceptionMatches(constants.typeError) === 0) return capsule;
  api.PyErr_Clear();
  const unversioned = python.callMethod(object, "__dlpack__", []);
  known.isUnversioned = unversioned !== null;
  return unversioned;
}

/** A tensor of what has no `__dlpack__`, or one that does not do it; whose exception is set. */
function otherwise(python: Interpreter, object: Reference): Tensor {
  const { api, constants } = python;
  if (api.PyErr_ExceptionMatches(constants.exception) === 0) throw python.failure(DOING); // such as SystemExit
  const exception = python.takeException();
  if (isCapsule(api, object)) return fromCapsule(api, object);
  if (has(python, object, "__array_interface__")) return fromInterface(python, object);
  if (!has(python, object, "__dlpack__")) throw noArray(python, object);
  python.setException(exception);
  throw python.failure(DOING);
}

function has(python: Interpreter, object: Pointer, attribute: string): boolean {
  const found = python.callHelper("hasattr", [object, python.name(attribute)]);
  return ffi.address(python.brief(python.checked(found, DOING))) === python.constants.true;
}

/** The tensor that shares the memory of one of bytes, in its place. */
function asBooleans(bytes: Tensor): Tensor {
  return makeTensor("bool", bytes.shape, storageOf(bytes), layoutOf(bytes.readOnly, stridesOf(bytes)));
}

function isCapsule(api: PythonApi, object: Pointer): boolean {
  return Object.values(capsuleNames()).some((name) => api.PyCapsule_IsValid(object, name) === 1);
}

function noArray(python: Interpreter, object: Reference): TypeError {
  const type = python.brief(python.api.PyObject_Type(object)!);
  return typeError(
    "INVALID_ARGUMENT",
    `Cannot ${DOING}: something with __dlpack__ or __array_interface__ wanted, ${python.shown(type)} found`,
  );
}

function fromCapsule(api: PythonApi, capsule: Pointer): Tensor {
  const names = capsuleNames(), versioned = api.PyCapsule_IsValid(capsule, names.versioned) === 1;
  if (!versioned && api.PyCapsule_IsValid(capsule, names.unversioned) !== 1) {
    const message =
      `Cannot ${DOING}: a capsule of DLPack wanted that nobody has taken, one that was taken or is none found`;
    throw typeError("INVALID_ARGUMENT", message);
  }
  const managed = api.PyCapsule_GetPointer(capsule, versioned ? names.versioned : names.unversioned)!;
  api.PyCapsule_SetName(capsule, versioned ? names.usedVersioned : names.usedUnversioned); // it is ours from here on
  return adoptManagedTensor(managed, versioned, DOING);
}

/** What `__array_interface__` says. */
interface Told {
  readonly address: bigint;
  readonly readOnly: boolean;
  readonly typestr: string;
  readonly shape: readonly number[];
  readonly byteStrides: readonly number[] | undefined;
  /** Whose buffer the memory is, the address being an offset in it. */
  readonly buffer: Pointer | undefined;
}

function tell(python: Interpreter, object: Reference): Told {
  const { api, constants } = python, told = python.brief(python.call("interface", [object], DOING));
  const at = (i: number) => api.PyTuple_GetItem(told, BigInt(i))!;
  const numbers = (tuple: Pointer) =>
    Array.from(
      { length: Number(api.PyTuple_Size(tuple)) },
      (_, i) => python.integerOf(api.PyTuple_GetItem(tuple, BigInt(i))!),
    );
  const isNone = (pointer: Pointer) => ffi.address(pointer) === constants.none;
  return {
    address: python.unsignedOf(at(0)),
    readOnly: ffi.address(at(1)) === constants.true,
    typestr: python.textOf(at(2)),
    shape: numbers(at(3)),
    byteStrides: isNone(at(4)) ? undefined : numbers(at(4)),
    buffer: isNone(at(5)) ? undefined : at(5),
  };
}

function dtypeOf(typestr: string): DType {
  if (typestr === "bfloat16") return typestr;
  const [order, rest] = [typestr.slice(0, 1), typestr.slice(1)], dtype = DTYPES[rest];
  if (dtype !== undefined && order !== ">") return dtype;
  const found = dtype === undefined
    ? `${KINDS[rest.slice(0, 1)] ?? "another type"} (${typestr})`
    : `${dtype} in big-endian order (${typestr})`;
  const message =
    `Cannot ${DOING}: numbers of this machine or booleans wanted, ${found} found; astype() copies to another`;
  throw typeError("INVALID_DTYPE", message);
}

function fromInterface(python: Interpreter, object: Reference): Tensor {
  const { address: given, readOnly, typestr, shape, byteStrides, buffer } = tell(python, object);
  const dtype = dtypeOf(typestr), elementBytes = dtype === "bfloat16" ? 2 : Number(typestr.slice(2));
  if (byteStrides?.some((stride) => stride % elementBytes !== 0) && !shape.includes(0)) {
    const found = `strides of [${byteStrides.join(", ")}] bytes`;
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot ${DOING}: strides of whole ${dtype} elements wanted, ${found} found; copy it first`,
    );
  }
  const strides = byteStrides?.map((stride) => stride / elementBytes);
  const view = buffer === undefined ? undefined : new BufferView(python, buffer);
  try {
    const address = view === undefined ? given : view.address + given;
    const layout = checkForeign({ doing: DOING, address, dtype, shape, strides });
    view?.check(given, layout.byteLength);
    if (view === undefined) python.api.Py_IncRef(object);
    const held = view ?? new Held(python, object), pointer = ffi.pointer(address) ?? object; // of no bytes there is nothing to see
    const storage = foreignStorage({
      pointer,
      byteLength: layout.byteLength,
      readOnly,
      release: () => void held.release(),
      abandon: () => held.abandon(),
    });
    return makeTensor(dtype, layout.shape, storage, layoutOf(readOnly, layout.strides));
  } catch (error) {
    view?.release();
    throw error;
  }
}

/** The bytes of an object that has a buffer, which keeps it. */
class BufferView {
  readonly address: bigint;
  readonly #byteLength: bigint;
  readonly #block = new Block(PY_BUFFER_BYTES);
  readonly #held: Held;

  constructor(python: Interpreter, object: Pointer) {
    if (python.api.PyObject_GetBuffer(object, this.#block.pointer, PYBUF_SIMPLE) !== 0) {
      this.#block.dispose();
      throw python.failure(DOING);
    }
    const words = new BigUint64Array(this.#block.buffer);
    this.address = words[0]!;
    this.#byteLength = words[2]!;
    this.#held = new Held(python, this.#block.pointer, "PyBuffer_Release");
  }

  /** Refuses what leads out of it. */
  check(start: bigint, byteLength: number): void {
    if (start >= 0n && start + BigInt(byteLength) <= this.#byteLength) return;
    const message =
      `Cannot ${DOING}: ${byteLength} bytes from ${start} on wanted, a buffer of ${this.#byteLength} found`;
    throw typeError("INVALID_LAYOUT", message);
  }

  release(): void {
    if (this.#held.release()) this.#block.dispose();
  }

  abandon(): void {
    this.#held.abandon();
  }
}
