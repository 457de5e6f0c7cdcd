// Takes the process's lock whenever it is asked to, and tells when it had it: see lock_test.ts.
import { workerData } from "node:worker_threads";
import { exclusively } from "../../../ffi/process/shared.ts";

/** `[0]`: 1 to take the lock, 2 to end; `[1]`: 1 when it was taken. */
const flags: Int32Array<SharedArrayBuffer> = workerData;

for (;;) {
  Atomics.wait(flags, 0, 0);
  if (Atomics.exchange(flags, 0, 0) === 2) break;
  exclusively(() => Atomics.store(flags, 1, 1));
  Atomics.notify(flags, 1);
}
