/** The floor: the same library from a loop in C, which is built here where there is a compiler. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cstring } from "../../ffi/cstring.ts";
import { libc } from "../../ffi/libc.ts";
import { ffi, type Pointer, type Symbols } from "../../ffi/mod.ts";
import { ort } from "../../src/ort/environment.ts";
import { onnxElementType } from "../../src/tensor/dtype.ts";
import type { Case, CaseTensor } from "./cases.ts";

const SIGNATURES = {
  floor_close: { parameters: ["pointer"], result: "void" }, // (floor_session *)
  floor_error: { parameters: ["pointer"], result: "pointer" }, // const char *(floor_session *)
  floor_measure: { parameters: ["pointer", "i32", "usize", "usize", "buffer"], result: "void" }, // (floor_session *, int how, size_t groups, size_t calls, double *ns)
  floor_no_op: { parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "u64", "u64"], result: "void" },
  floor_open: { parameters: ["pointer", "pointer"], result: "pointer" }, // floor_session *(const OrtApiBase *(*get_base)(void), OrtSession *)
  floor_tensor: {
    parameters: ["pointer", "i32", "buffer", "i32", "buffer", "usize", "buffer", "usize"],
    result: "void",
  }, // (floor_session *, int output, const char *name, int type, const int64_t *dims, size_t rank, const void *data, size_t length)
} as const;

const RTLD_NOW = 2;

/** What one call is. */
export const HOW = { run: 0, runWithBinding: 1, runWithFreshOutputs: 2, statusCall: 3, noOp: 4, libcCall: 5 } as const;

/** The C library's functions. */
export type FloorLibrary = Symbols<typeof SIGNATURES>;

/** Builds the C library in a folder, as `floor.so`, and opens it; a text says why that cannot be. */
export function openFloorLibrary(directory: string): FloorLibrary | string {
  const source = fileURLToPath(new URL("./floor.c", import.meta.url));
  const object = join(directory, "floor.so");
  for (const compiler of ["cc", "gcc", "clang"]) {
    const built = spawnSync(compiler, ["-std=gnu17", "-O2", "-shared", "-fPIC", "-o", object, source, "-ldl"]);
    if (built.status === 0) return ffi.open(object, SIGNATURES);
    if (built.error === undefined) return `${compiler}: ${built.stderr}`;
  }
  return "there is no C compiler here";
}

/** A session that C runs. */
export class Floor implements Disposable {
  readonly #library: FloorLibrary;
  readonly #session: Pointer;

  /** Runs a case's native session in C. */
  constructor(library: FloorLibrary, model: Case, session: Pointer) {
    this.#library = library;
    const handle = libc().dlopen(cstring(ort().path), RTLD_NOW), base = libc().dlsym(handle, cstring("OrtGetApiBase"));
    this.#session = library.floor_open(base, session)!;
    this.#check();
    for (const input of model.inputs) this.#add(0, input);
    for (const output of model.outputs) this.#add(1, output);
  }

  /** What one call took, in ns, for each of `groups` groups of `calls` calls. */
  measure(how: number, groups: number, calls: number): Float64Array {
    const ns = new Float64Array(groups);
    this.#library.floor_measure(this.#session, how, BigInt(groups), BigInt(calls), ns);
    this.#check();
    return ns;
  }

  [Symbol.dispose](): void {
    this.#library.floor_close(this.#session);
  }

  #add(output: 0 | 1, { name, dtype, shape, values }: CaseTensor): void {
    const dims = BigInt64Array.from([...shape, 0], BigInt);
    const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
    const type = onnxElementType(dtype), rank = BigInt(shape.length), length = BigInt(data.byteLength);
    this.#library.floor_tensor(this.#session, output, cstring(name), type, dims, rank, data, length);
    this.#check();
  }

  #check(): void {
    const error = ffi.string(this.#library.floor_error(this.#session)!);
    if (error !== "") throw new Error(`Cannot run the floor: ${error}`);
  }
}
