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
  let executor: Executor | undefined, isStopped = false, received = 0, done = 0, work = Promise.resolve();
  const go = (): void => {
    if (isStopped) return;
    executor!.turn(executor!.told === done); // a message takes some turns of the event loop to come, and to be done
    setImmediate(go);
  };
  const stop = (): void => {
    executor?.stop();
    thread.postMessage({ kind: "stopped" });
  };
  thread.onmessage = ({ data }) => {
    if (data.kind === "start") {
      executor = new Executor(data, (message) => thread.postMessage(message));
      thread.postMessage({ kind: "started" });
      setImmediate(go);
      return;
    }
    const number = ++received;
    if (data.kind === "stop") isStopped = true;
    const next = data.kind === "stop" ? stop : () => executor!.receive(data);
    work = work.then(next).then(() => void (done = number));
  };
}

const thread = globalThis as unknown as Thread;
serve(thread);
thread.postMessage({ kind: "awake" }); // what was said before nobody heard
