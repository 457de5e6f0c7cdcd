import { ffi, type Pointer } from "../../ffi/mod.ts";
import { typeError } from "../errors.ts";
import { isTensor } from "../tensor/internal.ts";
import type { Interpreter, Reference } from "./interpreter.ts";

const DOING = "give a value to Python", MOST = 2n ** 63n;

/**
 * Makes plain values of Python's. Within the lock. Copies them.
 *
 * A number is an int where it is whole and exact, else a float; an object is a dict by its own names.
 */
export class ToPython {
  readonly #python: Interpreter;
  readonly #referenceOf: (value: unknown) => Reference | undefined;
  /** What is being converted, from the outermost on. */
  readonly #within = new Set<object>();

  /** @param referenceOf the reference of what stands for a value of Python's, which it keeps */
  constructor(python: Interpreter, referenceOf: (value: unknown) => Reference | undefined) {
    this.#python = python;
    this.#referenceOf = referenceOf;
  }

  /** A new reference. @throws {TypeError} INVALID_ARGUMENT for what is not plain, or holds itself */
  convert(value: unknown): Reference {
    const { none, constants } = this.#python;
    if (value === null || value === undefined) return this.#again(none);
    if (typeof value === "boolean") return this.#again(ffi.pointer(value ? constants.true : constants.false)!);
    if (typeof value === "number") return this.#number(value);
    if (typeof value === "bigint") return this.#integer(value);
    if (typeof value === "string") return this.#python.text(value);
    const reference = this.#referenceOf(value);
    return reference === undefined ? this.#object(value) : this.#again(reference);
  }

  #object(value: unknown): Reference {
    if (value instanceof Uint8Array) return this.#bytes(value);
    if (Array.isArray(value)) return this.#inside(value, () => this.#list(value));
    if (value instanceof Map) return this.#inside(value, () => this.#dict([...value]));
    if (value instanceof Set) return this.#inside(value, () => this.#set([...value]));
    if (isPlainObject(value)) return this.#inside(value, () => this.#dict(Object.entries(value)));
    throw notPlain(value);
  }

  /** A new reference to a tuple, of what is to be called with. @throws as {@linkcode ToPython.convert} */
  tuple(values: readonly unknown[]): Reference {
    if (!Array.isArray(values)) throw notArguments("an array of arguments", values);
    const { api } = this.#python, given = [...values]; // without holes, and of a length that stays
    const tuple = this.#checked(api.PyTuple_New(BigInt(given.length)));
    return this.#filled(tuple, () => {
      given.forEach((value, i) => api.PyTuple_SetItem(tuple, BigInt(i), this.convert(value)));
    });
  }

  /** A new reference to a dict, of what is to be called with by names. @throws as {@linkcode ToPython.convert} */
  names(values: Readonly<Record<string, unknown>>): Reference {
    if (!isPlainObject(values)) throw notArguments("a plain object of arguments by name", values);
    return this.convert(values);
  }

  #again(reference: Pointer): Reference {
    this.#python.api.Py_IncRef(reference);
    return reference as Reference;
  }

  #checked(reference: Pointer | null): Reference {
    return this.#python.checked(reference, DOING);
  }

  /** What was made, or nothing of it where filling it throws. */
  #filled(made: Reference, fill: () => void): Reference {
    try {
      fill();
      return made;
    } catch (error) {
      this.#python.api.Py_DecRef(made);
      throw error;
    }
  }

  #number(value: number): Reference {
    const { api } = this.#python;
    const isInteger = Number.isSafeInteger(value) && !Object.is(value, -0);
    return this.#checked(isInteger ? api.PyLong_FromLongLong(BigInt(value)) : api.PyFloat_FromDouble(value));
  }

  #integer(value: bigint): Reference {
    const { api } = this.#python;
    if (value >= -MOST && value < MOST) return this.#checked(api.PyLong_FromLongLong(value));
    const digits = new TextEncoder().encode(`${value.toString(16)}\0`);
    return this.#checked(api.PyLong_FromString(digits, null, 16));
  }

  #bytes(bytes: Uint8Array): Reference {
    const copy = bytes.length === 0 ? new Uint8Array(1) : new Uint8Array(bytes); // of a shared or resizable buffer too
    return this.#checked(this.#python.api.PyBytes_FromStringAndSize(copy, BigInt(bytes.length)));
  }

  #list(given: readonly unknown[]): Reference {
    const values = [...given], list = this.#checked(this.#python.api.PyList_New(BigInt(values.length)));
    return this.#filled(list, () => {
      values.forEach((value, i) => this.#python.api.PyList_SetItem(list, BigInt(i), this.convert(value)));
    });
  }

  #dict(entries: readonly (readonly [unknown, unknown])[]): Reference {
    const dict = this.#checked(this.#python.api.PyDict_New());
    return this.#filled(dict, () => {
      for (const [key, value] of entries) {
        const [convertedKey, converted] = [this.convert(key), this.convert(value)].map((one) =>
          this.#python.brief(one)
        );
        this.#python.done(this.#python.api.PyDict_SetItem(dict, convertedKey!, converted!), DOING);
      }
    });
  }

  #set(values: readonly unknown[]): Reference {
    return this.#python.call("set", [this.#python.brief(this.#list(values))], DOING);
  }

  #inside<T>(value: object, work: () => T): T {
    if (this.#within.has(value)) {
      throw typeError("INVALID_ARGUMENT", "Cannot give a value to Python: it holds itself");
    }
    this.#within.add(value);
    try {
      return work();
    } finally {
      this.#within.delete(value);
    }
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null; // of any realm
}

function notArguments(wanted: string, found: unknown): TypeError {
  const what = Array.isArray(found) ? "an array" : found === null ? "null" : typeof found;
  return typeError("INVALID_ARGUMENT", `Cannot call Python: ${wanted} wanted, ${what} found`);
}

function notPlain(value: unknown): TypeError {
  const found = typeof value === "object" ? (value!.constructor?.name ?? "an object") : `a ${typeof value}`;
  const hint = isTensor(value) ? "; toNumPy() and toTorch() give tensors" : "";
  return typeError(
    "INVALID_ARGUMENT",
    `Cannot give a value to Python: null, a boolean, number, bigint, string, Uint8Array, array, Map, Set, plain object ` +
      `or PythonValue wanted, ${found} found${hint}`,
  );
}
