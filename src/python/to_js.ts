import { ffi, type Pointer } from "../../ffi/mod.ts";
import { TYPE_FLAG } from "../../ffi/python.ts";
import { typeError } from "../errors.ts";
import type { Interpreter } from "./interpreter.ts";

const DOING = "convert a value of Python";

/**
 * The value of JavaScript that a plain one of Python's is. Within the lock. Copies it.
 *
 * @throws {TypeError} INVALID_ARGUMENT for what is not plain, or holds itself
 * @throws {PythonError} for text with a lone surrogate
 */
export function toJS(python: Interpreter, object: Pointer): unknown {
  return new Conversion(python).convert(object);
}

class Conversion {
  readonly #python: Interpreter;
  /** What is being converted, from the outermost on. */
  readonly #within = new Set<bigint>();

  constructor(python: Interpreter) {
    this.#python = python;
  }

  convert(object: Pointer): unknown {
    const value = this.#known(object); // null for None
    return value === undefined ? this.#nearlyPlain(object) : value;
  }

  /** `undefined` for what is not of a plain type. */
  #known(object: Pointer): unknown {
    const { api, constants } = this.#python, address = ffi.address(object);
    if (address === constants.none) return null;
    if (address === constants.true || address === constants.false) return address === constants.true;
    const type = api.PyObject_Type(object)!, flags = api.PyType_GetFlags(type);
    api.Py_DecRef(type);
    if (flags & TYPE_FLAG.str) return this.#python.textOf(object);
    if (flags & TYPE_FLAG.int) return this.#integer(object);
    if (flags & TYPE_FLAG.list) return this.#list(object);
    if (flags & TYPE_FLAG.tuple) return this.#tuple(object);
    if (flags & TYPE_FLAG.dict) return this.#dict(object);
    if (flags & TYPE_FLAG.bytes) return this.#bytes(object);
    const isFloat = api.PyObject_IsInstance(object, constants.float);
    if (isFloat < 0) throw this.#python.failure(DOING);
    return isFloat === 1 ? this.#float(object) : undefined;
  }

  /** Of what says that it is a float, and may be none. */
  #float(object: Pointer): number {
    const { api } = this.#python, value = api.PyFloat_AsDouble(object);
    if (value === -1 && api.PyErr_Occurred() !== null) throw this.#python.failure(DOING);
    return value;
  }

  #integer(object: Pointer): number | bigint {
    const { api, words } = this.#python, value = api.PyLong_AsLongLongAndOverflow(object, this.#python.wordAt(8));
    if ((words[8]! & 0xffffffffn) !== 0n) return this.#large(object);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #large(object: Pointer): bigint {
    const hex = this.#python.textOf(this.#call("__format__", object, "x"));
    return hex.startsWith("-") ? -BigInt(`0x${hex.slice(1)}`) : BigInt(`0x${hex}`);
  }

  #call(method: string, object: Pointer, text: string): Pointer {
    const python = this.#python, argument = python.brief(python.text(text));
    return python.brief(python.checked(python.callMethod(object, method, [argument]), DOING));
  }

  #bytes(object: Pointer): Uint8Array<ArrayBuffer> {
    const { api } = this.#python, length = Number(api.PyBytes_Size(object));
    return new Uint8Array(ffi.view(api.PyBytes_AsString(object)!, length).slice(0));
  }

  #list(list: Pointer): unknown[] {
    const { api } = this.#python;
    return this.#inside(list, () => {
      const items: unknown[] = [];
      for (let i = 0n; i < api.PyList_Size(list); i++) {
        const item = api.PyList_GetItem(list, i)!;
        api.Py_IncRef(item); // as what it is converted by may change the list
        try {
          items.push(this.convert(item));
        } finally {
          api.Py_DecRef(item);
        }
      }
      return items;
    });
  }

  #tuple(tuple: Pointer): unknown[] {
    const { api } = this.#python, length = Number(api.PyTuple_Size(tuple));
    return this.#inside(
      tuple,
      () => Array.from({ length }, (_, i) => this.convert(api.PyTuple_GetItem(tuple, BigInt(i))!)),
    );
  }

  #dict(dict: Pointer): unknown {
    const { api } = this.#python, pairs = this.#python.checked(api.PyDict_Items(dict), DOING);
    try {
      const entries = this.#inside(dict, () => this.#list(pairs) as [unknown, unknown][]);
      const isObject = entries.every(([key]) => typeof key === "string");
      return isObject ? Object.fromEntries(entries as [string, unknown][]) : new Map(entries);
    } finally {
      api.Py_DecRef(pairs);
    }
  }

  #inside<T>(object: Pointer, work: () => T): T {
    const address = ffi.address(object);
    if (this.#within.has(address)) {
      throw typeError("INVALID_ARGUMENT", "Cannot convert a value of Python to JavaScript: it holds itself");
    }
    this.#within.add(address);
    try {
      return work();
    } finally {
      this.#within.delete(address);
    }
  }

  #nearlyPlain(object: Pointer): unknown {
    const { api } = this.#python, told = this.#python.call("plain", [object], DOING); // (kind, value)
    try {
      const kind = this.#python.textOf(api.PyTuple_GetItem(told, 0n)!), plain = api.PyTuple_GetItem(told, 1n)!;
      const value = kind === "" || kind === "set" ? this.#known(plain) : undefined;
      if (value === undefined) throw notPlain(kind);
      return kind === "set" ? new Set(value as unknown[]) : value;
    } finally {
      api.Py_DecRef(told);
    }
  }
}

function notPlain(type: string): TypeError {
  return typeError(
    "INVALID_ARGUMENT",
    `Cannot convert a value of Python to JavaScript: None, bool, int, float, str, bytes, list, tuple, dict or set ` +
      `wanted, ${type} found; fromPython() takes arrays`,
  );
}
