import { findPython, whyNoPython } from "../../ffi/find_python.ts";

/** The Python that `Python.open()` of `@coload/onnx/python` would start. */
export interface PythonCapabilities {
  /** The interpreter, its library and version, and how they were found; `undefined` where there is none. */
  readonly found:
    | { readonly executable: string; readonly library: string; readonly version: string; readonly how: string }
    | undefined;
  /** Why there is none, with all that was tried. */
  readonly problem: string | undefined;
}

let known: PythonCapabilities | undefined;

/** Looks for Python, once: that runs interpreters. Asks nobody for a permission. */
export function pythonCapabilities(): PythonCapabilities {
  if (known !== undefined) return known;
  const search = findPython(), { found } = search;
  return known = { found, problem: found === undefined ? whyNoPython(search) : undefined };
}
