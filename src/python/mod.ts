/**
 * Python in this process, and its arrays on the same memory as this program's tensors.
 *
 * @module
 */
export { Python, type PythonOptions } from "./python.ts";
export { PythonValue } from "./python_value.ts";
export { PythonError } from "../errors.ts";
