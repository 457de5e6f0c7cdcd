/**
 * Memory of this thread that foreign code uses until it says that it is done, on whatever thread, also after this
 * thread's end: until then a reaper leaves alone what this thread held. No JavaScript is called back. The code that
 * the borrower calls puts the loan on a list of its owner's, and wakes the owner.
 *
 * A loan: +0 the loan that came back before it; +8 its owner's entry; +64 what the borrower is given. The code's page
 * has, 64 KiB behind it, the addresses that it calls: +0 send, +8 PyCapsule_GetPointer, +16 PyGILState_Ensure,
 * +24 PyGILState_Release.
 *
 * @module
 */
import { checkExecutableMemory } from "../executable_memory.ts";
import { errno, functionPointer, libc, strerror } from "../libc.ts";
import { type LoansCode, loansCode } from "../machine_code/loans.ts";
import { ffi } from "../mod.ts";
import { type NativeMemory, PROT } from "../native_memory.ts";
import { OwnedMemory } from "../owned_memory.ts";
import { onWake } from "./calls.ts";
import { owner, U32, WORD } from "./owner.ts";
import { processBlock } from "./shared.ts";

const CODE_BYTES = 65536, SLOT = { send: 0, getPointer: 1, ensure: 2, release: 3 } as const;
const LOAN_BYTES = 512, CONTENT = 64, SLAB_BYTES = 1 << 16;

/** What a borrower calls when it is done, and what lets a reference of Python's go: C functions by their addresses. */
export interface LoanFunctions {
  /** `void (*)(struct DLManagedTensor *)` */
  readonly returnedUnversioned: bigint;
  /** `void (*)(struct DLManagedTensorVersioned *)` */
  readonly returnedVersioned: bigint;
  /** `void (*)(PyObject *)`, the destructor of a capsule that holds a loan. */
  readonly capsuleGone: bigint;
  /** `void (*)(void *argument, void (*function)(void *))` */
  readonly withGil: bigint;
}

/** Functions of Python that the code calls, by their addresses. */
export interface PythonFunctions {
  /** `PyCapsule_GetPointer` */
  readonly getPointer: bigint;
  /** `PyGILState_Ensure` */
  readonly ensure: bigint;
  /** `PyGILState_Release` */
  readonly release: bigint;
}

/** A piece of native memory that is lent, and what says what is lent. */
export interface Loan {
  /** The loan itself, as a capsule of Python holds it. */
  readonly address: bigint;
  /** What the borrower is given. */
  readonly content: DataView;
  readonly contentAddress: bigint;
}

let page: NativeMemory | undefined;
let problem: string | undefined;
let functions: LoanFunctions | undefined;

const code = (): LoansCode => loansCode(ffi.arch === "arm64" ? "arm64" : "x64");

function slots(memory: NativeMemory): BigUint64Array {
  return new BigUint64Array(ffi.view(memory.pointer, 32, CODE_BYTES));
}

function install(memory: NativeMemory): void {
  if (ffi.arch === "other") throw new Error("there is no code for this architecture");
  checkExecutableMemory(ffi);
  const { bytes } = code();
  new Uint8Array(ffi.view(memory.pointer, bytes.length)).set(bytes);
  slots(memory)[SLOT.send] = ffi.address(functionPointer("send"));
  if (libc().mprotect(memory.pointer, BigInt(CODE_BYTES), PROT.READ | PROT.EXEC) === 0) return;
  throw new Error(`the system forbids executable memory: ${strerror(errno())}`);
}

function codePage(): NativeMemory {
  if (problem !== undefined) throw new Error(problem);
  try {
    return page ??= processBlock("loans", 2 * CODE_BYTES, install);
  } catch (error) {
    problem = (error as Error).message; // and so it stays
    throw error;
  }
}

/** The functions for borrowers. @throws {Error} where the system forbids executable memory, or knows no such code */
export function loanFunctions(): LoanFunctions {
  if (functions !== undefined) return functions;
  const { address } = codePage(), { returnedUnversioned, returnedVersioned, capsuleGone, withGil } = code();
  return functions = {
    returnedUnversioned: address + BigInt(returnedUnversioned),
    returnedVersioned: address + BigInt(returnedVersioned),
    capsuleGone: address + BigInt(capsuleGone),
    withGil: address + BigInt(withGil),
  };
}

/** Tells the code where Python's functions are, before anybody calls those of its functions that need them. */
export function knowPython({ getPointer, ensure, release }: PythonFunctions): void {
  slots(codePage()).set([getPointer, ensure, release], SLOT.getPointer);
}

/** A loan's memory, which is used again. */
class Memory implements Loan {
  readonly address: bigint;
  readonly content: DataView;
  readonly contentAddress: bigint;
  readonly words: BigUint64Array;
  readonly #own: OwnedMemory | undefined;
  onReturn: () => void = () => {};

  /** @param own the memory, where it is this loan's alone */
  constructor(buffer: ArrayBuffer, address: bigint, byteOffset: number, byteLength: number, own?: OwnedMemory) {
    this.address = address;
    this.contentAddress = address + BigInt(CONTENT);
    this.content = new DataView(buffer, byteOffset + CONTENT, byteLength - CONTENT);
    this.words = new BigUint64Array(buffer, byteOffset, 2);
    this.#own = own;
  }

  /** Whether it may be used again, because it is of the usual size. */
  get isUsual(): boolean {
    return this.#own === undefined;
  }

  free(): void {
    this.#own?.[Symbol.dispose]();
  }
}

/** This thread's loans. */
class Loans {
  readonly #entry = owner();
  readonly #out = new Map<bigint, Memory>();
  readonly #free: Memory[] = [];

  constructor() {
    onWake(() => this.collect());
  }

  #memory(byteLength: number): Memory {
    if (byteLength > LOAN_BYTES) {
      const own = new OwnedMemory(byteLength);
      return new Memory(own.buffer, own.address, 0, byteLength, own);
    }
    if (this.#free.length === 0) {
      const slab = new OwnedMemory(SLAB_BYTES); // this thread's as long as it lives, and as anything is lent
      for (let at = 0; at < SLAB_BYTES; at += LOAN_BYTES) {
        this.#free.push(new Memory(slab.buffer, slab.address + BigInt(at), at, LOAN_BYTES));
      }
    }
    return this.#free.pop()!;
  }

  lend(contentBytes: number, onReturn: () => void): Loan {
    this.collect();
    const memory = this.#memory(CONTENT + contentBytes);
    memory.onReturn = onReturn;
    memory.words[1] = this.#entry.memory.address;
    this.#out.set(memory.address, memory);
    Atomics.add(this.#entry.u32, U32.loans, 1);
    return memory;
  }

  takeBack({ address }: Loan): void {
    Atomics.sub(this.#entry.u32, U32.loans, 1);
    this.#end(this.#out.get(address)!);
  }

  collect(): void {
    let address = Atomics.exchange(this.#entry.words, WORD.returned, 0n);
    while (address !== 0n) {
      const memory = this.#out.get(address)!;
      address = memory.words[0]!;
      this.#end(memory);
    }
  }

  #end(memory: Memory): void {
    const { onReturn } = memory;
    this.#out.delete(memory.address);
    memory.onReturn = () => {};
    if (memory.isUsual) this.#free.push(memory);
    else memory.free();
    onReturn();
  }
}

let loans: Loans | undefined;

const get = (): Loans => loans ??= new Loans();

/**
 * Lends something that this thread holds, which the caller keeps until `onReturn` is called, on this thread.
 *
 * @param contentBytes how much the borrower is given, to be written by the caller
 */
export function lend(contentBytes: number, onReturn: () => void): Loan {
  return get().lend(contentBytes, onReturn);
}

/** Ends a loan that nobody was given. */
export function takeBack(loan: Loan): void {
  get().takeBack(loan);
}

/** Ends the loans that came back, as happens by itself in an idle moment. */
export function collectReturned(): void {
  loans?.collect();
}
