import { typeError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fromPython } from "./from_python.ts";
import { Interpreter } from "./interpreter.ts";
import { makeValue, type PythonValue, referenceOf } from "./python_value.ts";
import { type RunningPython, startPython } from "./start.ts";
import { ThreadRuns } from "./thread_runs.ts";
import { toNumPy, toTorch } from "./to_python.ts";

/** Which Python is meant. */
export interface PythonOptions {
  /**
   * The interpreter, such as `/usr/bin/python3`, or the folder of a virtual environment. By default that of
   * COLOAD_PYTHON, VIRTUAL_ENV or CONDA_PREFIX, or `python3` on PATH.
   */
  executable?: string;
  /** The interpreter's libpython, where it is not where the interpreter says. */
  library?: string;
}

let opened: Python | undefined;

/**
 * Python in this process: its libraries, on the same memory as this program's tensors. Nothing of Python's runs while
 * TypeScript does but threads that Python has started: its lock is taken for each call and given back.
 *
 * A process has one Python, for all its Workers, and has it to its end.
 *
 * @example
 * ```ts
 * import { Python } from "@coload/onnx/python";
 *
 * const python = Python.open(); // python3 on PATH, or { executable: ".venv" }
 * python.exec("import math");
 * console.log(python.eval("math.factorial(25)").toJS()); // 15511210043330985984000000n
 * ```
 */
export class Python {
  readonly #running: RunningPython;
  readonly #interpreter: Interpreter;
  readonly #runs: ThreadRuns;

  private constructor(running: RunningPython) {
    this.#running = running;
    this.#interpreter = new Interpreter(running.api);
    this.#runs = new ThreadRuns(this.#interpreter);
  }

  /**
   * Starts Python, in some 20 ms, or joins the one that runs in this process. Runs the interpreter that is meant, to
   * ask it where its library lies: on Deno, that takes `--allow-run` beside `--allow-ffi`, `--allow-read` and
   * `--allow-env`.
   *
   * @throws {LibraryError} LIBRARY_NOT_FOUND where there is no Python with a shared library, with all that was tried;
   * LIBRARY_TOO_OLD before 3.9; LIBRARY_INVALID; LIBRARY_CONFLICT
   * @throws {TypeError} ALREADY_CONFIGURED when another Python runs in this process; INVALID_ARGUMENT
   */
  static open(options: PythonOptions = {}): Python {
    const { executable, library } = options ?? {};
    for (const [name, value] of Object.entries({ executable, library })) {
      if (value === undefined || typeof value === "string") continue;
      throw typeError("INVALID_ARGUMENT", `Cannot start Python: a path wanted as ${name}, ${typeof value} found`);
    }
    if (opened !== undefined && executable === undefined && library === undefined) return opened;
    const running = startPython({
      ...(executable !== undefined && { executable }),
      ...(library !== undefined && { library }),
    });
    return opened ??= new Python(running);
  }

  /** Such as `3.12.1`. */
  get version(): string {
    return this.#running.version;
  }

  /** The interpreter whose modules are used. */
  get executable(): string {
    return this.#running.executable;
  }

  /** The libpython that was loaded. */
  get library(): string {
    return this.#running.library;
  }

  /**
   * Runs statements in the module `__main__`, while this thread waits. `sys.exit` raises, and ends nothing.
   *
   * @throws {PythonError} PYTHON, with what was raised
   */
  exec(code: string): void {
    this.#call("execute", code, "run Python")[Symbol.dispose]();
  }

  /**
   * The value of an expression in the module `__main__`.
   *
   * @throws {PythonError} PYTHON, with what was raised
   */
  eval(expression: string): PythonValue {
    return this.#call("evaluate", expression, "evaluate Python");
  }

  /**
   * A module, by its full name, such as `numpy` or `os.path`.
   *
   * @throws {PythonError} PYTHON, a ModuleNotFoundError where there is none
   */
  import(module: string): PythonValue {
    return this.#call("module", module, `import ${module}`);
  }

  /**
   * Runs statements on a thread of Python of their own, in the module `__main__`: the event loop stays free, and others
   * run beside it where Python lets them. Resolves with the value of the last statement where that is an expression,
   * else with None. The event loop stays alive until then.
   *
   * @throws {PythonError} PYTHON, with what was raised
   *
   * @example
   * ```ts
   * import { Python } from "@coload/onnx/python";
   *
   * const value = await Python.open().run("sum(range(10**6)); 6 * 7");
   * console.log(value.toJS()); // 42
   * ```
   */
  run(code: string): Promise<PythonValue> {
    try {
      return this.#runs.run(text(code, "run Python"));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * A tensor over the memory of an array or tensor of Python's: of anything that has `__dlpack__` or
   * `__array_interface__`, as those of NumPy and torch do, and capsules of DLPack. Copies nothing: one sees what the
   * other writes. Keeps it alive until the tensor is disposed. A read-only array makes a read-only tensor.
   *
   * @returns a tensor of any shape, with strides from 0 up; its storage is "native"
   * @throws {TypeError} INVALID_DTYPE for objects, dates, structures, text, complex and big-endian numbers;
   * INVALID_LAYOUT for strides below 0 or of parts of elements, and for unaligned memory: copy it in Python;
   * UNSUPPORTED for a GPU's memory; INVALID_ARGUMENT for what is no array, or a capsule that was taken
   * @throws {PythonError} PYTHON, with what was raised on the way
   * @throws {ReferenceError} DISPOSED
   *
   * @example
   * ```ts ignore
   * import { Python } from "@coload/onnx/python";
   *
   * const python = Python.open();
   * using array = python.import("numpy").get("arange").call([6], { dtype: "float32" });
   * using tensor = python.fromPython(array).as("float32");
   * tensor.data[0] = 10;
   * console.log(String(array)); // [10.  1.  2.  3.  4.  5.]
   * ```
   */
  fromPython(value: PythonValue): Tensor {
    const reference = referenceOf(value), python = this.#interpreter;
    if (reference !== undefined) return python.locked(() => fromPython(python, reference));
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot take a tensor from Python: a PythonValue wanted, ${typeof value} found`,
    );
  }

  /**
   * An array of NumPy's over a tensor's memory, where the tensor is native or shared: writable unless the tensor is
   * read-only, and both see what is written. The array, its slices and views keep the memory, also when the tensor is
   * disposed or this thread ends, until they go, on whatever thread. Copies a heap tensor.
   *
   * @param tensor of any shape and strides; bfloat16 takes the package ml_dtypes
   * @throws {LibraryError} LIBRARY_NOT_FOUND without NumPy
   * @throws {TypeError} INVALID_DTYPE for strings; TENSOR_BUSY while a run writes it; UNSUPPORTED where the system
   * forbids executable memory; INVALID_ARGUMENT for what is no tensor
   * @throws {ReferenceError} DISPOSED
   * @throws {MemoryError} OUT_OF_MEMORY
   *
   * @example
   * ```ts ignore
   * import { Tensor } from "@coload/onnx";
   * import { Python } from "@coload/onnx/python";
   *
   * const python = Python.open();
   * using tensor = Tensor.zeros("float32", [2, 3], { storage: "native" });
   * using array = python.toNumPy(tensor);
   * array.get("fill").call([7])[Symbol.dispose]();
   * console.log(tensor.data); // Float32Array [ 7, 7, 7, 7, 7, 7 ]
   * ```
   */
  toNumPy(tensor: Tensor): PythonValue {
    const python = this.#interpreter;
    return python.locked(() => makeValue(python, toNumPy(python, tensor)));
  }

  /**
   * A tensor of torch's, on the CPU, over a tensor's memory: as {@linkcode Python.toNumPy}.
   *
   * @param tensor of any shape and strides, and the dtypes that this torch has
   * @throws {LibraryError} LIBRARY_NOT_FOUND without torch
   * @throws {TypeError} READ_ONLY for a read-only tensor, which torch has not; and as {@linkcode Python.toNumPy}
   * @throws {PythonError} PYTHON for a dtype that this torch does not have
   * @throws {ReferenceError} DISPOSED
   * @throws {MemoryError} OUT_OF_MEMORY
   */
  toTorch(tensor: Tensor): PythonValue {
    const python = this.#interpreter;
    return python.locked(() => makeValue(python, toTorch(python, tensor)));
  }

  #call(helper: string, code: string, doing: string): PythonValue {
    const given = text(code, doing), python = this.#interpreter;
    return python.locked(() => makeValue(python, python.call(helper, [python.brief(python.text(given))], doing)));
  }
}

function text(value: string, doing: string): string {
  if (typeof value === "string") return value;
  throw typeError("INVALID_ARGUMENT", `Cannot ${doing}: a text wanted, ${typeof value} found`);
}
