import type { Python, PythonValue } from "../../../src/python/mod.ts";
import { ffi } from "../../../ffi/mod.ts";
import { type AddressedStorage, storageOf } from "../../../src/tensor/internal.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";

/** The value of an expression that knows NumPy as `np`, and some values by names. */
export function evaluate(
  python: Python,
  expression: string,
  values: Readonly<Record<string, unknown>> = {},
): PythonValue {
  python.exec("import numpy as np");
  using made = python.eval(`lambda ${Object.keys(values).join(", ")}: ${expression}`);
  return made.call(Object.values(values));
}

/** The same, as JavaScript's. */
export function told(python: Python, expression: string, values?: Readonly<Record<string, unknown>>): unknown {
  using value = evaluate(python, expression, values);
  return value.toJS();
}

/** Where an array of NumPy's or a tensor of torch's begins. */
export function addressIn(python: Python, value: PythonValue): bigint {
  const code = "value.data_ptr() if hasattr(value, 'data_ptr') else value.__array_interface__['data'][0]";
  return BigInt(told(python, code, { value }) as number);
}

/** Where a tensor begins. */
export function addressOf(tensor: Tensor): bigint {
  return ffi.address((storageOf(tensor) as AddressedStorage).pointer);
}
