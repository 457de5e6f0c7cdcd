import { ffi } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { ort } from "../ort/environment.ts";
import { check } from "../ort/status.ts";
import type { Frame } from "./frame.ts";
import type { Reference } from "./reference.ts";
import { checkRunOptions, type Feeds, type RunOptions, type RunSyncOptions } from "./run_options.ts";
import type { SessionCore } from "./session_core.ts";
import type { Tensors } from "./tensors.ts";

const DOING = "run the model";

function runWhole(core: SessionCore, frame: Frame, feeds: Feeds, options: RunSyncOptions | undefined): Tensors {
  if (options !== undefined) checkRunOptions(options);
  try {
    frame.prepare(feeds, options);
    const { inputNames, inputs, outputNames, outputs } = frame, { api, pointer, runOptions } = core;
    const inputCount = core.counts[frame.inputCount]!, outputCount = core.counts[frame.outputCount]!;
    let status = api.Run(pointer, runOptions, inputNames, inputs, inputCount, outputNames, outputCount, outputs);
    if (status !== null && frame.withdraw(status)) {
      api.ReleaseStatus(status);
      status = api.Run(pointer, runOptions, inputNames, inputs, inputCount, outputNames, outputCount, outputs);
    }
    check(status, DOING);
    const tensors = frame.collect();
    frame.repeats.note(frame, feeds, options);
    return tensors;
  } finally {
    frame.finish();
  }
}

/** Runs on this thread. Borrows the feeds. */
export function runSync(core: SessionCore, feeds: Feeds, options: RunSyncOptions | undefined): Tensors {
  const frame = core.takeSyncFrame();
  try {
    const before = frame.repeats.current;
    if (before !== undefined) {
      const tensors = before.matches(feeds, options) ? before.run() : undefined;
      if (tensors !== undefined) return tensors;
      frame.repeats.forget();
    }
    return runWhole(core, frame, feeds, options);
  } finally {
    core.giveSyncFrame(frame);
  }
}

/** Makes the results of a run when C is done with it, and lets go of all it used. */
function conclude(core: SessionCore, reference: Reference, frame: Frame, status: bigint): Tensors {
  try {
    check(ffi.pointer(status), DOING);
    return frame.collect();
  } finally {
    frame.finish();
    core.giveFrame(frame);
    reference.end();
  }
}

/** Rejects as soon as the signal aborts, and asks C to stop; what it still makes is released. */
function abortable(
  called: Promise<bigint>,
  signal: AbortSignal,
  frame: Frame,
  conclude: (status: bigint) => Tensors,
): Promise<Tensors> {
  const { promise, resolve, reject } = Promise.withResolvers<Tensors>();
  const abort = (): void => {
    frame.terminate();
    reject(signal.reason);
  };
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  called.then((status) => {
    signal.removeEventListener("abort", abort); // from here on the frame is another run's
    const tensors = conclude(status);
    if (signal.aborted) tensors[Symbol.dispose](); // nobody will ever see them
    else resolve(tensors);
  }).catch(reject);
  return promise;
}

/** Runs on a native thread. Copies heap feeds; native and shared ones are pinned until C is done. */
export function run(
  core: SessionCore,
  reference: Reference,
  feeds: Feeds,
  options: RunOptions | undefined,
): Promise<Tensors> {
  if (options !== undefined) checkRunOptions(options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const frame = core.takeFrame();
  try {
    frame.prepare(feeds, options);
  } catch (error) {
    frame.finish();
    core.giveFrame(frame);
    throw error;
  }
  reference.begin();
  const [inputNames, inputs, outputNames, outputs] = frame.addresses as [bigint, bigint, bigint, bigint];
  const runOptions = ffi.address(signal ? frame.runOptions : core.runOptions);
  const inputCount = core.counts[frame.inputCount]!, outputCount = core.counts[frame.outputCount]!;
  const fn = ort().address("Run");
  const args = [core.address, runOptions, inputNames, inputs, inputCount, outputNames, outputCount, outputs];
  const called = callNative("run", fn, args).then((status) => {
    const failed = ffi.pointer(status);
    if (failed === null || !frame.withdraw(failed)) return status;
    core.api.ReleaseStatus(failed);
    return callNative("run", fn, args);
  });
  const finish = (status: bigint): Tensors => conclude(core, reference, frame, status);
  return signal ? abortable(called, signal, frame, finish) : called.then(finish);
}
