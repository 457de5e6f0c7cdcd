import { cstring } from "../../ffi/cstring.ts";
import { DL_VERSION } from "../../ffi/dlpack.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import type { PythonApi } from "../../ffi/python.ts";
import { loanFunctions } from "../../ffi/process/loans.ts";
import { PythonError } from "../errors.ts";
import { BOOTSTRAP_MODULE } from "./bootstrap.ts";

const NUMBER = "give a number to Python";
const MOST_ARGUMENTS = 16, SCRATCH_BYTES = 4096, ARGUMENTS_AT = 256;
const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A reference to an object of Python's. Whose it is stands where it is had from: new ones are the caller's. */
export type Reference = Pointer<"PyObject">;

/** Objects that are there once, by their addresses. */
export interface Constants {
  readonly none: bigint;
  readonly true: bigint;
  readonly false: bigint;
  /** The class `float`. */
  readonly float: Reference;
  /** The class `TypeError`. */
  readonly typeError: Reference;
  /** The class `Exception`. */
  readonly exception: Reference;
}

/** This thread's way to Python: everything that touches it runs within {@linkcode Interpreter.locked}. */
export class Interpreter {
  /** The C API. */
  readonly api: PythonApi;
  /**
   * `void (*)(void *argument, void (*function)(void *))`, by which others let go what this thread held when it ended.
   * `undefined` where the system forbids such code: then that stays.
   */
  readonly withGil: bigint | undefined;
  readonly #scratch = new OwnedMemory(SCRATCH_BYTES);
  readonly #words = new BigUint64Array(this.#scratch.buffer);
  readonly #arguments = ffi.pointer(this.#scratch.address + BigInt(ARGUMENTS_AT))!;
  readonly #names = new Map<string, Reference>();
  #depth = 0;
  #module: Reference | undefined;
  #constants: Constants | undefined;
  #dlpackVersion: Reference | undefined;
  #dlpackKeyword: Reference | undefined;
  #unwanted: Pointer[] = [];

  constructor(api: PythonApi) {
    this.api = api;
    this.withGil = lockingCode();
  }

  /** Runs a synchronous piece of work while this thread holds Python's lock. It may be nested. */
  locked<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    const state = this.api.PyGILState_Ensure();
    this.#depth = 1;
    try {
      return work();
    } finally {
      this.#depth = 0;
      this.api.PyErr_Clear(); // what nobody has looked at, such as why a conversion of no consequence failed
      for (const reference of this.#unwanted) this.api.Py_DecRef(reference);
      if (this.#unwanted.length > 0) this.#unwanted = [];
      this.api.PyGILState_Release(state);
    }
  }

  /** Memory for what C writes, to be read at once: its first 32 words. */
  get words(): BigUint64Array {
    return this.#words;
  }

  /** The pointer of one of these words. */
  wordAt(index: number): Pointer {
    return ffi.pointer(this.#scratch.address + BigInt(index * 8))!;
  }

  /** Lets a reference go at the end of this turn with the lock, which it returns: for what is needed within it only. */
  brief<T extends Pointer>(reference: T): T {
    this.#unwanted.push(reference);
    return reference;
  }

  /** A new reference, or the exception that there is instead. @throws {PythonError} */
  checked(reference: Pointer | null, doing: string): Reference {
    if (reference === null) throw this.failure(doing);
    return reference as Reference;
  }

  /** What C says by 0 for done. @throws {PythonError} */
  done(status: number, doing: string): void {
    if (status !== 0) throw this.failure(doing);
  }

  /** Objects that are there once. */
  get constants(): Constants {
    return this.#constants ??= this.#findConstants();
  }

  #findConstants(): Constants {
    const all = this.call("constants", [], "start Python"),
      at = (i: number) => this.api.PyTuple_GetItem(all, BigInt(i));
    return { // the tuple is kept
      none: ffi.address(at(0)),
      true: ffi.address(at(1)),
      false: ffi.address(at(2)),
      float: at(3) as Reference,
      typeError: at(4) as Reference,
      exception: at(5) as Reference,
    };
  }

  /** A reference to None, which need not be let go. */
  get none(): Reference {
    return ffi.pointer(this.constants.none) as Reference;
  }

  /** An interned string, which is kept. */
  name(text: string): Reference {
    let found = this.#names.get(text);
    if (found === undefined) {
      found = this.checked(this.api.PyUnicode_InternFromString(cstring(text)), "name an attribute");
      this.#names.set(text, found);
    }
    return found;
  }

  /** Calls a function of the module in bootstrap.ts. A new reference. @throws {PythonError} */
  call(name: string, args: readonly Pointer[], doing: string): Reference {
    return this.checked(this.callHelper(name, args), doing);
  }

  /** The same: a new reference, or `null` and an exception. */
  callHelper(name: string, args: readonly Pointer[]): Pointer | null {
    return this.callMethod(this.#bootstrap(), name, args);
  }

  #bootstrap(): Reference {
    return this.#module ??= this.checked(
      this.api.PyImport_ImportModule(cstring(BOOTSTRAP_MODULE)),
      "start Python",
    );
  }

  /** Calls a method. A new reference, or `null` and an exception. `names`: a tuple of the last arguments' names. */
  callMethod(of: Pointer, name: string, args: readonly Pointer[], names: Pointer | null = null): Pointer | null {
    if (args.length >= MOST_ARGUMENTS) throw new RangeError(`${args.length} arguments`);
    const first = ARGUMENTS_AT / 8, positional = args.length + 1 - (names === null ? 0 : 1);
    const called = this.name(name);
    this.#words[first] = ffi.address(of);
    for (let i = 0; i < args.length; i++) this.#words[first + 1 + i] = ffi.address(args[i]!);
    return this.api.PyObject_VectorcallMethod(called, this.#arguments, BigInt(positional), names);
  }

  /** An int. A new reference. */
  number(value: number): Reference {
    return this.checked(this.api.PyLong_FromLongLong(BigInt(value)), NUMBER);
  }

  /** An int of 64 bits without sign. A new reference. */
  unsigned(value: bigint): Reference {
    return this.checked(this.api.PyLong_FromUnsignedLongLong(value), NUMBER);
  }

  /** A tuple of ints. A new reference. */
  numbers(values: readonly number[]): Reference {
    const { api } = this, tuple = this.checked(api.PyTuple_New(BigInt(values.length)), NUMBER);
    for (let i = 0; i < values.length; i++) api.PyTuple_SetItem(tuple, BigInt(i), this.number(values[i]!));
    return tuple;
  }

  /** True or False, which need not be let go. */
  boolean(value: boolean): Reference {
    return ffi.pointer(value ? this.constants.true : this.constants.false) as Reference;
  }

  /** An int as a number. */
  integerOf(int: Pointer): number {
    return Number(this.api.PyLong_AsLongLongAndOverflow(int, this.wordAt(8)));
  }

  /** An int without sign. @throws {PythonError} where it has one, or more than 64 bits */
  unsignedOf(int: Pointer): bigint {
    const value = this.api.PyLong_AsUnsignedLongLong(int);
    if (this.api.PyErr_Occurred() !== null) throw this.failure("read a number of Python");
    return value;
  }

  /** `(1, 1)`, the version of DLPack that is asked for. Kept. */
  get dlpackVersion(): Reference {
    return this.#dlpackVersion ??= this.numbers([DL_VERSION.major, DL_VERSION.minor]);
  }

  /** `("max_version",)`. Kept. */
  get dlpackKeyword(): Reference {
    if (this.#dlpackKeyword !== undefined) return this.#dlpackKeyword;
    const tuple = this.checked(this.api.PyTuple_New(1n), NUMBER);
    this.api.PyTuple_SetItem(tuple, 0n, this.text("max_version"));
    return this.#dlpackKeyword = tuple;
  }

  /** A string of Python's. A new reference. */
  text(text: string): Reference {
    const bytes = encoder.encode(text);
    const given = bytes.length === 0 ? new Uint8Array(1) : bytes; // as an empty array has no address
    return this.checked(this.api.PyUnicode_DecodeUTF8(given, BigInt(bytes.length), null), "give text to Python");
  }

  /** The characters of a string. @throws {PythonError} for a lone surrogate */
  textOf(string: Pointer): string {
    const bytes = this.api.PyUnicode_AsUTF8AndSize(string, this.wordAt(8));
    if (bytes === null) throw this.failure("read text of Python");
    return decoder.decode(new Uint8Array(ffi.view(bytes, Number(this.#words[8]!))));
  }

  /** `str(object)`. */
  shown(object: Pointer): string {
    return this.textOf(this.brief(this.checked(this.api.PyObject_Str(object), "show a value of Python")));
  }

  /** The exception that is set, which is then no more: to be set again, or let go with the lock. */
  takeException(): readonly bigint[] {
    this.#words.fill(0n, 0, 3);
    this.api.PyErr_Fetch(this.wordAt(0), this.wordAt(1), this.wordAt(2));
    const parts = [...this.#words.subarray(0, 3)];
    for (const part of parts) if (part !== 0n) this.brief(ffi.pointer(part)!);
    return parts;
  }

  /** Sets an exception that was taken within the same turn with the lock. */
  setException(parts: readonly bigint[]): void {
    const [type, value, traceback] = parts.map((part) => ffi.pointer(part));
    for (const part of [type, value, traceback]) if (part) this.api.Py_IncRef(part);
    this.api.PyErr_Restore(type!, value!, traceback!);
  }

  /** The exception that is set, as an error, which is then no more. */
  failure(doing: string): PythonError {
    const { api } = this, [type, value, traceback] = [this.wordAt(0), this.wordAt(1), this.wordAt(2)];
    this.#words.fill(0n, 0, 3);
    api.PyErr_Fetch(type, value, traceback);
    if (this.#words[0] === 0n) return new PythonError(`Cannot ${doing}: Python gave no reason`, UNKNOWN);
    api.PyErr_NormalizeException(type, value, traceback);
    const parts = [0, 1, 2].map((i) => this.#words[i] === 0n ? null : this.brief(ffi.pointer(this.#words[i]!)!));
    return this.#described("describe", parts.map((part) => part ?? this.none), doing);
  }

  /** The error of what ran on a thread of Python. */
  failureOf(outcome: Pointer, doing: string): PythonError {
    return this.#described("describe_outcome", [outcome], doing);
  }

  #described(by: string, parts: readonly Pointer[], doing: string): PythonError {
    const described = this.callMethod(this.#bootstrap(), by, parts);
    if (described === null) {
      this.api.PyErr_Clear();
      return new PythonError(`Cannot ${doing}: Python cannot say why`, UNKNOWN);
    }
    this.brief(described);
    const [type, message, traceback] = [0, 1, 2].map((i) =>
      this.textOf(this.api.PyTuple_GetItem(described, BigInt(i))!)
    );
    const says = message === "" ? type! : `${type}: ${message}`;
    return new PythonError(`Cannot ${doing}: ${says}`, { type: type!, traceback: traceback! });
  }
}

const UNKNOWN = { type: "SystemError", traceback: "" };

function lockingCode(): bigint | undefined {
  try {
    return loanFunctions().withGil;
  } catch {
    return undefined;
  }
}
