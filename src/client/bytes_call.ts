import { typeError } from "../errors.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { CallPins } from "../protocol/call_pins.ts";
import { type CallOutput, checkInputs, selectOutputs } from "../protocol/call_parts.ts";
import { fillOutput, placeOutput } from "../protocol/call_result.ts";
import { decodeTensors, encodeTensors, violation } from "../protocol/frames.ts";
import type { RemoteModel } from "../protocol/remote_model.ts";
import type { Feeds } from "../session/run_options.ts";
import { storageOf } from "../tensor/internal.ts";
import { emptyTensors, refuseOutput, type Tensors } from "../session/tensors.ts";

const NOWHERE = (): boolean => false;

/** A request whose tensors go as bytes, where no memory is shared. */
export class BytesCall implements Disposable {
  /** What goes to the worker. */
  readonly body: Uint8Array;
  readonly #remote: RemoteModel;
  readonly #outputs: readonly CallOutput[];
  readonly #options: CallOptions;
  readonly #pins = new CallPins();

  /** Checks feeds and outputs, and copies them. @throws as `InferenceSession.run` */
  constructor(remote: RemoteModel, feeds: Feeds, options: CallOptions, asynchronous: boolean) {
    const { timeoutMs, queueTimeoutMs, priority, sequence, outputs: wanted } = options;
    checkInputs(remote, feeds, NOWHERE, sequence === undefined ? [] : remote.description.state);
    const plain = wanted === undefined ? {} : { outputs: wanted };
    this.#remote = remote;
    this.#options = options;
    this.#outputs = selectOutputs(remote, plain, asynchronous, NOWHERE, new Set());
    if (this.#outputs.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
    const { name, version } = remote.description, outputs = this.#outputs.map(({ port }) => port.name);
    const about = { model: name, version, outputs, options: { timeoutMs, queueTimeoutMs, priority, sequence } };
    this.body = encodeTensors(about, feeds);
    try {
      for (const tensor of Object.values(feeds)) this.#pins.read(storageOf(tensor));
      for (const { port, target } of this.#outputs) if (target !== undefined) this.#pins.write(port.name, target);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Makes tensors of what the worker answered. @throws {WorkerError} WORKER_PROTOCOL @throws {RangeError} INVALID_SHAPE */
  collect(answer: Uint8Array<ArrayBuffer>): Tensors {
    const { tensors: results } = decodeTensors(answer), { outputs: wanted, outputStorage = "heap" } = this.#options;
    const tensors = emptyTensors(wanted !== undefined && !Array.isArray(wanted));
    for (const { name, info, fetchable } of this.#remote.outputs) {
      if (!fetchable) refuseOutput(tensors, name, info.dtype);
    }
    for (const { port, target } of this.#outputs) {
      const result = results[port.name];
      if (result === undefined && port.info.kind === "optional") {
        refuseOutput(tensors, port.name, "nothing");
        continue;
      }
      if (result === undefined) throw violation(`an answer without output "${port.name}"`);
      tensors[port.name] = target ? fillOutput(port.name, target, result) : placeOutput(result, outputStorage);
    }
    return tensors as unknown as Tensors;
  }

  /** Lets go of the tensors that it uses. */
  [Symbol.dispose](): void {
    this.#pins.release();
  }
}
