// Opens Python as the environment says and does one thing: start.ts ACTION. See start_test.ts.
import process from "node:process";
import { Python } from "../../../src/python/mod.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return `${(error as Error).name} ${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
};

const ACTIONS: Readonly<Record<string, () => unknown>> = {
  open: () => codeOf(() => Python.open()),

  where() {
    using prefix = Python.open().eval("__import__('sys').prefix");
    return prefix.toJS();
  },

  others() {
    Python.open();
    return codeOf(() => Python.open({ executable: process.argv[3]! }));
  },

  missing() {
    const python = Python.open(), native = Tensor.zeros("int8", [2], { storage: "native" });
    using array = python.eval("__import__('array').array('f', [1, 2])");
    return [() => python.toNumPy(native), () => python.toTorch(native), () => python.fromPython(array)].map(codeOf);
  },

  prints() {
    const python = Python.open();
    python.exec("print('one'); print('two', end='')");
    process.exit(0); // which flushes nothing of Python's
  },

  async ends() {
    const python = Python.open();
    python.exec("import threading; up = threading.Event()");
    void python.run("up.set()\nwhile True: sum(range(1000))");
    while (python.eval("up.is_set()").toJS() === false) await new Promise((resolve) => setTimeout(resolve));
    console.log("END");
    process.exit(7); // in the middle of it
  },

  bare() {
    const python = Python.open(), native = Tensor.zeros("int8", [2], { storage: "native" });
    using array = python.eval("memoryview(bytearray(4))"), interface_ = python.eval("type('A', (), {})()");
    interface_.set(
      "__array_interface__",
      new Map<string, unknown>([["shape", [4]], ["typestr", "|u1"], ["data", array]]),
    );
    using tensor = python.fromPython(interface_);
    return [tensor.size, codeOf(() => python.toNumPy(native))];
  },
};

const answer = await ACTIONS[process.argv[2]!]!();
console.log(JSON.stringify(answer));
