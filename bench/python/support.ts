import { Python } from "../../src/python/mod.ts";

/** Whether Python has a module. */
export function has(python: Python, module: string): boolean {
  using found = python.eval(`__import__("importlib.util").util.find_spec("${module}") is not None`);
  return found.toJS() === true;
}

/** The Python that is meant, which must have NumPy. */
export function openWithNumPy(): Python {
  const python = Python.open();
  if (has(python, "numpy")) return python;
  throw new Error(`${python.executable} has no NumPy: COLOAD_PYTHON names another Python`);
}
