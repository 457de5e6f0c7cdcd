// A Worker that dies while it works exclusively: see shared_test.ts.
import { parentPort } from "node:worker_threads";
import process from "node:process";
import { exclusively } from "../../../ffi/process/shared.ts";

parentPort!.on("message", () => {
  exclusively(() => {
    process.exit();
  });
});
parentPort!.postMessage("ready");
