import process from "node:process";
import { pythonEnvironment, type TestPython } from "../support/python_environment.ts";

export { stockPython as numpy2 } from "../support/stock_client.ts";

/** A Python with NumPy 1, and matplotlib for the example. */
export function numpy1(): Promise<TestPython> {
  return pythonEnvironment(".coload-python-numpy1", "numpy==1.26.4 matplotlib==3.8.4");
}

/** A Python with torch, which is too large to be installed for a test: COLOAD_TEST_TORCH names one. */
export function torch(): TestPython {
  const { COLOAD_TEST_TORCH: python } = process.env;
  return python ? { python } : { reason: "COLOAD_TEST_TORCH names no Python that has torch" };
}
