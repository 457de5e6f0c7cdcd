import { ffi } from "../../ffi/mod.ts";
import { LibraryError, typeError } from "../errors.ts";
import {
  elementByteLength,
  isRowMajorTensor,
  isTensor,
  lendManagedTensor,
  lendTensor,
  type LentTensor,
  returns,
} from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { capsuleNames } from "./capsule_names.ts";
import type { Interpreter, Reference } from "./interpreter.ts";

/** `typestr` of each dtype that NumPy has; of bfloat16, which ml_dtypes adds, its name. */
const TYPESTR: Readonly<Record<string, string>> = {
  bool: "|b1",
  bfloat16: "bfloat16",
  float16: "<f2",
  float32: "<f4",
  float64: "<f8",
  int8: "|i1",
  int16: "<i2",
  int32: "<i4",
  int64: "<i8",
  uint8: "|u1",
  uint16: "<u2",
  uint32: "<u4",
  uint64: "<u8",
};

/** A library of Python's that this thread has seen. */
type Package = "numpy" | "ml_dtypes" | "torch";
const seen = new Set<Package>();

function use(python: Interpreter, name: Package, doing: string): void {
  if (seen.has(name)) return;
  const found = python.callHelper(`use_${name}`, []);
  if (found === null) {
    const cause = python.failure(`import ${name}`);
    if (cause.type !== "ModuleNotFoundError") throw cause;
    const message = `Cannot ${doing}: this Python has no ${name} (python -m pip install ${name} gets it)`;
    throw new LibraryError("LIBRARY_NOT_FOUND", message, { cause });
  }
  python.brief(found);
  seen.add(name);
}

function checkTensor(tensor: Tensor, to: string): string {
  if (isTensor(tensor)) return `give tensor to ${to}`;
  throw typeError("INVALID_ARGUMENT", `Cannot give a tensor to ${to}: a Tensor wanted, ${typeof tensor} found`);
}

/** An array of NumPy's over a tensor's memory. A new reference. Within the lock. @throws as `Python.toNumPy` */
export function toNumPy(python: Interpreter, tensor: Tensor): Reference {
  const doing = checkTensor(tensor, "NumPy"), { capsuleGone } = returns(doing);
  use(python, "numpy", doing);
  if (tensor.dtype === "bfloat16") use(python, "ml_dtypes", doing);
  const lent = lendTensor(tensor, 0, doing);
  return pass(lent, (taken) => {
    const capsule = python.api.PyCapsule_New(ffi.pointer(lent.loan.address), null, ffi.pointer(capsuleGone));
    if (capsule === null) throw python.failure(doing);
    taken(true);
    const { shape, strides, storage, readOnly } = tensor, bytes = elementByteLength(tensor.dtype);
    const isPlain = storage === "heap" || isRowMajorTensor(tensor);
    return python.call("array", [
      python.brief(capsule),
      python.brief(python.unsigned(ffi.address(lent.pointer))),
      python.boolean(readOnly && storage !== "heap"),
      python.name(TYPESTR[tensor.dtype]!),
      python.brief(python.numbers(shape)),
      isPlain ? python.none : python.brief(python.numbers(strides.map((stride) => stride * bytes))),
    ], doing);
  });
}

/** A tensor of torch's over a tensor's memory. A new reference. Within the lock. @throws as `Python.toTorch` */
export function toTorch(python: Interpreter, tensor: Tensor): Reference {
  const doing = checkTensor(tensor, "torch"), { unversioned } = capsuleNames();
  if (tensor.readOnly && tensor.storage !== "heap") {
    throw typeError("READ_ONLY", `Cannot ${doing}: it is read-only, and torch's tensors are not; copy it first`);
  }
  use(python, "torch", doing);
  const areBooleans = tensor.dtype === "bool", as = areBooleans ? "uint8" : tensor.dtype;
  const lent = lendManagedTensor(tensor, false, doing, as);
  return pass(lent, (taken) => {
    const capsule = python.api.PyCapsule_New(ffi.pointer(lent.loan.contentAddress), unversioned, null);
    if (capsule === null) throw python.failure(doing);
    python.brief(capsule);
    const made = python.callHelper("tensor", [capsule, python.boolean(areBooleans)]);
    taken(python.api.PyCapsule_IsValid(capsule, unversioned) === 0); // torch renames what it owns
    return python.checked(made, doing);
  });
}

/** Gives a loan to Python, or takes it back where Python does not take it. */
function pass(lent: LentTensor, work: (taken: (isTaken: boolean) => void) => Reference): Reference {
  let isTaken = false;
  try {
    return work((is) => void (isTaken = is));
  } finally {
    if (!isTaken) lent.takeBack();
  }
}
