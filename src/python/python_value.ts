import { cstring } from "../../ffi/cstring.ts";
import type { Pointer } from "../../ffi/mod.ts";
import { disposedError, typeError } from "../errors.ts";
import { countOf } from "../handle.ts";
import { ToPython } from "./from_js.ts";
import { Held } from "./held.ts";
import type { Interpreter, Reference } from "./interpreter.ts";
import { toJS } from "./to_js.ts";

const live = countOf("python value");

/** Lets a value's reference go. */
function release(held: Held<Reference>): void {
  if (held.release()) live.value--;
}

const dropped = new FinalizationRegistry<Held<Reference>>(release);

/** Makes a value of a reference, which it owns from then on. */
export let makeValue: (python: Interpreter, reference: Reference) => PythonValue;
/** The reference of a value; `undefined` of what is none. @throws {ReferenceError} DISPOSED */
export let referenceOf: (value: unknown) => Reference | undefined;

/**
 * A value of Python's, whatever it is. Holds one reference to it, until it is disposed or the collector finds it.
 *
 * @example
 * ```ts
 * import { Python } from "@coload/onnx/python";
 *
 * const python = Python.open();
 * using json = python.import("json");
 * using text = json.get("dumps").call([{ a: [1, 2.5, null] }], { indent: 2 });
 * console.log(text.toJS()); // the text of the object
 * ```
 */
export class PythonValue implements Disposable {
  readonly #held: Held<Reference>;

  private constructor(python: Interpreter, reference: Reference) {
    this.#held = new Held(python, reference);
    live.value++;
    dropped.register(this, this.#held, this.#held);
  }

  static {
    makeValue = (python, reference) => new PythonValue(python, reference);
    referenceOf = (value) => {
      if (typeof value !== "object" || value === null || !(#held in value)) return undefined;
      return value.#reference;
    };
    Object.defineProperty(PythonValue.prototype, Symbol.for("nodejs.util.inspect.custom"), {
      value(this: PythonValue): string {
        return this.#held.pointer === undefined ? "PythonValue(disposed)" : `PythonValue(${this})`;
      },
    });
  }

  get #reference(): Reference {
    const { pointer } = this.#held;
    if (pointer === undefined) throw disposedError("a value of Python");
    return pointer;
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#held.pointer === undefined;
  }

  /**
   * An attribute.
   *
   * @throws {PythonError} PYTHON, an AttributeError where there is none
   * @throws {ReferenceError} DISPOSED
   */
  get(name: string): PythonValue {
    const doing = `get attribute ${attribute(name)}`;
    return this.#new(({ api }, self) => api.PyObject_GetAttrString(self, cstring(name)), doing);
  }

  /**
   * Sets an attribute to a plain value, which is copied, or to another value of Python's.
   *
   * @throws {TypeError} INVALID_ARGUMENT for what is neither
   * @throws {PythonError} PYTHON
   */
  set(name: string, value: unknown): void {
    const doing = `set attribute ${attribute(name)}`;
    this.#with((python, self) => {
      const given = python.brief(new ToPython(python, referenceOf).convert(value));
      python.done(python.api.PyObject_SetAttrString(self, cstring(name), given), doing);
    });
  }

  /**
   * What stands under a key or an index, as `value[key]`.
   *
   * @throws {PythonError} PYTHON, a KeyError or IndexError where there is nothing
   */
  at(key: unknown): PythonValue {
    return this.#new((python, self) => {
      const given = python.brief(new ToPython(python, referenceOf).convert(key));
      return python.api.PyObject_GetItem(self, given);
    }, "get an item");
  }

  /**
   * Calls it with plain values, which are copied, and values of Python's. Other threads of Python go on where Python
   * lets them; this one waits.
   *
   * @param args by position @param kwargs by name
   * @throws {TypeError} INVALID_ARGUMENT for what is neither
   * @throws {PythonError} PYTHON, with what it raised
   */
  call(args: readonly unknown[] = [], kwargs?: Readonly<Record<string, unknown>>): PythonValue {
    return this.#new((python, self) => {
      const give = new ToPython(python, referenceOf), tuple = python.brief(give.tuple(args));
      const names = kwargs === undefined ? null : python.brief(give.names(kwargs));
      return python.api.PyObject_Call(self, tuple, names);
    }, "call Python");
  }

  /**
   * The value as JavaScript's, copied: None as null, int as a number where it is exact and else as a bigint, bytes as a
   * Uint8Array, list and tuple as arrays, dict as an object where its keys are texts and else as a Map, set as a Set;
   * scalars of NumPy and torch as numbers.
   *
   * @throws {TypeError} INVALID_ARGUMENT for what is none of these, or holds itself
   * @throws {ReferenceError} DISPOSED
   */
  toJS(): unknown {
    return this.#with(toJS);
  }

  /** What Python's `str` makes of it. @throws {PythonError} PYTHON @throws {ReferenceError} DISPOSED */
  toString(): string {
    return this.#with((python, self) => python.shown(self));
  }

  /** Its items, as Python iterates over them. Each is a value of its own. @throws {PythonError} PYTHON */
  *[Symbol.iterator](): Generator<PythonValue, void, undefined> {
    using iterator = this.#new(({ api }, self) => api.PyObject_GetIter(self), "iterate");
    for (let item = iterator.#next(); item !== undefined; item = iterator.#next()) yield item;
  }

  #next(): PythonValue | undefined {
    return this.#with((python, self) => {
      const item = python.api.PyIter_Next(self);
      if (item !== null) return makeValue(python, item as Reference);
      if (python.api.PyErr_Occurred() !== null) throw python.failure("iterate");
      return undefined;
    });
  }

  /** Lets the reference go. Harmless when repeated. */
  [Symbol.dispose](): void {
    dropped.unregister(this.#held);
    release(this.#held);
  }

  #with<T>(work: (python: Interpreter, self: Reference) => T): T {
    const { python } = this.#held, self = this.#reference;
    return python.locked(() => {
      python.api.Py_IncRef(self); // as an accessor of what is converted may dispose of this value
      return work(python, python.brief(self));
    });
  }

  #new(work: (python: Interpreter, self: Reference) => Pointer | null, doing: string): PythonValue {
    return this.#with((python, self) => makeValue(python, python.checked(work(python, self), doing)));
  }
}

function attribute(name: string): string {
  if (typeof name === "string") return JSON.stringify(name);
  throw typeError("INVALID_ARGUMENT", `Cannot name an attribute: a text wanted, ${typeof name} found`);
}
