/**
 * The thread of an executor, which a worker starts. Nothing imports it.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { Executor } from "./executor.ts";
import type { FromExecutor, ToExecutor } from "./messages.ts";

/** What a thread of a runtime has to talk to the one that started it. */
interface Thread {
  onmessage: ((event: { readonly data: ToExecutor }) => void) | null;
  postMessage(message: FromExecutor): void;
}

function serve(thread: Thread): void {
  let executor: Executor | undefined, isStopped = false, work = Promise.resolve();
  const go = (): void => {
    if (isStopped) return;
    executor!.turn();
    setImmediate(go);
  };
  thread.onmessage = ({ data }) => {
    if (data.kind === "start") {
      executor = new Executor(data, (message) => thread.postMessage(message));
      thread.postMessage({ kind: "started" });
      setImmediate(go);
    } else if (data.kind === "stop") {
      isStopped = true;
      void work.then(() => {
        executor?.stop();
        thread.postMessage({ kind: "stopped" });
      });
    } else {
      work = work.then(() => executor!.receive(data));
    }
  };
}

const thread = globalThis as unknown as Thread;
serve(thread);
thread.postMessage({ kind: "awake" }); // what was said before nobody heard
