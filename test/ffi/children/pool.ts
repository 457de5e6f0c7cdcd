// Ends with calls pending in the pool, or none: see calls_test.ts.
import process from "node:process";
import { functionPointer } from "../../../ffi/libc.ts";
import { callNative, holdEventLoop } from "../../../ffi/process/calls.ts";
import { ensureThreads, leaveBeforeDestructors } from "../../../ffi/process/pool.ts";

ensureThreads("run", 2);
leaveBeforeDestructors();
const sleep = (ms: number): Promise<bigint> => callNative("run", functionPointer("usleep"), [BigInt(ms * 1000)]);

process.on("exit", () => console.log("END"));
switch (process.argv[2]) {
  case "pending":
    void sleep(100).then(() => console.log("called"));
    break;
  case "hold": {
    const held = holdEventLoop();
    setTimeout(() => {
      console.log("let go");
      held[Symbol.dispose]();
    }, 100).unref();
    break;
  }
  default:
    for (let i = 0; i < 100; i++) void sleep(2000);
    setTimeout(() => process.exit(3), 20);
}
