import { ffi } from "../../ffi/mod.ts";
import { asynchronousCalls } from "../../ffi/process/calls.ts";
import { LibraryError } from "../errors.ts";
import { type SharedMemoryCapabilities, sharedMemoryCapabilities } from "../memory/shared_memory_capabilities.ts";
import { startOrt } from "./environment.ts";
import { type PythonCapabilities, pythonCapabilities } from "./python_capabilities.ts";

/** What works here, and why not what does not. */
export interface Capabilities {
  /** The runtime and its version. */
  readonly runtime: string;
  /** The onnxruntime in use; `undefined` where there is none, and then `problem` says why. */
  readonly library:
    | {
      readonly path: string;
      readonly version: string;
      /** How it was found. */
      readonly how: string;
      /** Other onnxruntimes that this process has loaded. */
      readonly others: readonly string[];
    }
    | undefined;
  /** Why there is no library. */
  readonly problem: LibraryError | undefined;
  /** Execution providers that the library was built with. */
  readonly providers: readonly string[];
  /** `"fast"` when C is called at C speed; otherwise why each call costs microseconds; `"unknown"` without a library. */
  readonly calls: string;
  /** `"native"` when asynchronous calls run on native threads; otherwise why not. */
  readonly threads: string;
  /** What memory can be shared with other processes. */
  readonly sharedMemory: SharedMemoryCapabilities;
  /** What Python can be started. */
  readonly python: PythonCapabilities;
}

/**
 * What works here. Finds and opens onnxruntime; where that fails it does not reject, and `problem` says why.
 *
 * @example
 * ```ts
 * import { capabilities } from "@coload/onnx";
 *
 * const { library, providers, calls } = await capabilities();
 * console.log(library?.version, providers, calls);
 * ```
 */
export async function capabilities(): Promise<Capabilities> {
  const rest = {
    runtime: ffi.runtime,
    threads: asynchronousCalls(),
    sharedMemory: sharedMemoryCapabilities(),
    python: pythonCapabilities(),
  };
  try {
    const { path, version, how, others, providers, fast } = await startOrt();
    const library = { path, version, how, others };
    return { ...rest, library, problem: undefined, providers, calls: fast === true ? "fast" : fast };
  } catch (problem) {
    if (!(problem instanceof LibraryError)) throw problem;
    return { ...rest, library: undefined, problem, providers: [], calls: "unknown" };
  }
}
