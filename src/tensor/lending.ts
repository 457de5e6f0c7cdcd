import { managedTensorBytes, writeManagedTensor } from "../../ffi/dlpack.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { lend, type Loan, type LoanFunctions, loanFunctions, takeBack } from "../../ffi/process/loans.ts";
import { typeError } from "../errors.ts";
import { countOf } from "../handle.ts";
import type { DType } from "./dtype.ts";
import { DL_TYPES } from "./managed_tensor.ts";
import { nativeCopy } from "./native_copy.ts";
import { AddressedStorage } from "./native_storage.ts";
import { rowMajorStrides } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { shapeOf, storageOf } from "./tensor_base.ts";

const loans = countOf("loan");

/** A tensor's memory that foreign code shares until it calls back, on any thread. */
export interface LentTensor {
  readonly loan: Loan;
  /** Where its elements start. */
  readonly pointer: Pointer;
  /** Ends it, where nobody was given it. */
  takeBack(): void;
}

/** The functions by which memory comes back. @throws {TypeError} UNSUPPORTED where the system forbids them */
export function returns(doing: string): LoanFunctions {
  try {
    return loanFunctions();
  } catch (cause) {
    const message = `Cannot ${doing}: the borrower could not say when it is done, as ${(cause as Error).message}`;
    throw typeError("UNSUPPORTED", message, { cause });
  }
}

/**
 * Lends a tensor's memory, or that of a copy where it lies in the heap. It stays until it comes back, also when the
 * tensor is disposed or dropped, or this thread ends.
 *
 * @param contentBytes for what the borrower is given
 * @throws {TypeError} UNSUPPORTED; INVALID_DTYPE for strings; TENSOR_BUSY while a run writes it; TENSOR_DETACHED
 * @throws {ReferenceError} DISPOSED @throws {MemoryError} OUT_OF_MEMORY
 */
export function lendTensor(tensor: Tensor, contentBytes: number, doing: string): LentTensor {
  returns(doing);
  let storage = storageOf(tensor);
  storage.checkReadable();
  if (tensor.dtype === "string") throw typeError("INVALID_DTYPE", `Cannot ${doing}: its dtype is string`);
  const copy = storage instanceof AddressedStorage ? undefined : nativeCopy(tensor);
  if (copy !== undefined) storage = storageOf(copy);
  const loan = lend(contentBytes, () => {
    loans.value--;
    storage.takeBack();
  });
  storage.lend();
  loans.value++;
  copy?.[Symbol.dispose](); // it lives as long as it is lent
  return { loan, pointer: (storage as AddressedStorage).pointer, takeBack: () => takeBack(loan) };
}

/**
 * Lends a tensor as a managed tensor of DLPack, whose address is the loan's `contentAddress`.
 *
 * @param dtype what it is called, if not by its own
 * @throws as {@linkcode lendTensor}
 * @throws {TypeError} READ_ONLY where that cannot be said
 */
export function lendManagedTensor(
  tensor: Tensor,
  versioned: boolean,
  doing: string,
  dtype: DType = tensor.dtype,
): LentTensor {
  const shape = shapeOf(tensor), functions = returns(doing), isCopied = tensor.storage === "heap";
  const readOnly = tensor.readOnly && !isCopied, strides = isCopied ? rowMajorStrides(shape) : tensor.strides;
  if (readOnly && !versioned) {
    throw typeError("READ_ONLY", `Cannot ${doing}: it is read-only, which only DLPack from version 1.0 on can say`);
  }
  const lent = lendTensor(tensor, managedTensorBytes(shape.length, versioned), doing), { loan, pointer } = lent;
  const [code, bits] = DL_TYPES[dtype]!;
  const deleter = versioned ? functions.returnedVersioned : functions.returnedUnversioned;
  writeManagedTensor(loan.content, loan.contentAddress, {
    data: ffi.address(pointer), // also of no elements: torch never gives back what is at NULL
    code,
    bits,
    shape,
    strides,
    readOnly,
    deleter,
    context: loan.address,
  }, versioned);
  return lent;
}
