import { ffi } from "../../ffi/mod.ts";
import { holdEventLoop, onWake } from "../../ffi/process/calls.ts";
import { owner, U32 } from "../../ffi/process/owner.ts";
import { Held } from "./held.ts";
import type { Interpreter, Reference } from "./interpreter.ts";
import { makeValue, type PythonValue } from "./python_value.ts";

const DOING = "run Python";

interface Waiting {
  readonly resolve: (value: PythonValue) => void;
  readonly reject: (error: unknown) => void;
}

/** What this thread has run on threads of Python, which tell it by its mailbox when they are done. */
export class ThreadRuns {
  readonly #python: Interpreter;
  readonly #waiting = new Map<number, Waiting>();
  #asker: Held<Reference> | undefined;
  #last = 0;
  #hold: Disposable | undefined;

  constructor(python: Interpreter) {
    this.#python = python;
  }

  run(code: string): Promise<PythonValue> {
    return new Promise((resolve, reject) => {
      const number = ++this.#last;
      this.#python.locked(() => this.#start(number, code));
      this.#waiting.set(number, { resolve, reject });
      this.#hold ??= holdEventLoop();
    });
  }

  #start(number: number, code: string): void {
    const python = this.#python, id = python.brief(python.number(number)), text = python.brief(python.text(code));
    python.brief(python.checked(python.callMethod(this.#ask(), "start", [id, text]), DOING));
  }

  /** The asker of bootstrap.ts, which is kept as long as this thread lives. */
  #ask(): Reference {
    if (this.#asker !== undefined) return this.#asker.pointer!;
    onWake(() => this.#collect());
    const fd = this.#python.brief(this.#python.number(owner().u32[U32.writeFd]!));
    this.#asker = new Held(this.#python, this.#python.call("Asker", [fd], DOING));
    return this.#asker.pointer!;
  }

  #collect(): void {
    if (this.#waiting.size === 0) return;
    const settle = this.#python.locked(() => this.#outcomes());
    for (const one of settle) one();
    if (this.#waiting.size > 0) return;
    this.#hold?.[Symbol.dispose]();
    this.#hold = undefined;
  }

  #outcomes(): (() => void)[] {
    const python = this.#python, { api } = python;
    const list = python.brief(python.checked(python.callMethod(this.#ask(), "collect", []), DOING));
    return Array.from({ length: Number(api.PyList_Size(list)) }, (_, i) => {
      const outcome = api.PyList_GetItem(list, BigInt(i))!;
      const [id, isDone, value] = [0n, 1n, 2n].map((at) => api.PyTuple_GetItem(outcome, at)!);
      const number = Number(api.PyLong_AsLongLongAndOverflow(id!, python.wordAt(8)));
      const { resolve, reject } = this.#waiting.get(number)!;
      this.#waiting.delete(number);
      if (ffi.address(isDone!) !== python.constants.true) {
        const error = python.failureOf(value!, DOING);
        return () => reject(error);
      }
      api.Py_IncRef(value!);
      const result = makeValue(python, value as Reference);
      return () => resolve(result);
    });
  }
}
