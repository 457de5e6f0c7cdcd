import { ffi, type Pointer } from "../../ffi/mod.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { typeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { Block } from "../memory/block.ts";
import { ort } from "../ort/environment.ts";
import { pointerIn, scratch } from "../ort/scratch.ts";
import { check } from "../ort/status.ts";
import { isTensor, type Storage } from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bindFeed, refuseFeed, refuseUnknownFeeds } from "./feed.ts";
import { placeOutput } from "./output.ts";
import type { OutputPlace } from "./output_place.ts";
import type { Feeds, RunSyncOptions } from "./run_options.ts";
import type { SessionCore } from "./session_core.ts";
import type { Stage } from "./stage.ts";
import { emptyTensors, noteGiven, refuseOutput, type Tensors } from "./tensors.ts";

/**
 * What one run needs in native memory: arrays of names and values, and stages for small tensors. Later runs of the
 * session use it again. A run is {@linkcode Frame.prepare}, C, {@linkcode Frame.collect} if C succeeded, and in any
 * case {@linkcode Frame.finish}.
 */
export class Frame {
  readonly core: SessionCore;
  /** Where the four arrays start, and the same as addresses. */
  readonly inputNames: Pointer;
  readonly inputs: Pointer;
  readonly outputNames: Pointer;
  readonly outputs: Pointer;
  readonly addresses: readonly bigint[];
  /** OrtValues that go in, and those that come out: 0 before the run where onnxruntime makes one. */
  readonly inputSlots: BigUint64Array;
  readonly outputSlots: BigUint64Array;
  /** Stages by the index of their input or output, initializers that are replaced after the inputs. */
  readonly inputStages: (Stage | undefined)[] = [];
  readonly outputStages: (Stage | undefined)[] = [];
  /** By output, the place over its stage. */
  readonly stagedPlaces: (OutputPlace | undefined)[] = [];
  /** By input, the shape that was checked last. */
  readonly checkedShapes: (readonly number[] | undefined)[] = [];
  /** Storages that C reads or writes, pinned. */
  readonly reading: Storage[] = [];
  readonly writing: Storage[] = [];
  /** Arrays of the JavaScript heap that C reads: kept until it has. */
  readonly lent: unknown[] = [];
  /** Whether C runs on another thread, where nothing of the JavaScript heap may be lent. */
  asynchronous = false;
  readonly #inputNameSlots: BigUint64Array;
  readonly #outputNameSlots: BigUint64Array;
  readonly #block: Block;
  readonly #transient: Handle[] = [];
  /** Notes for the reaper of outputs that onnxruntime makes. */
  readonly #notes: number[] = [];
  /** By position in the run: the output's index in the model, and its place. */
  readonly #selected: number[] = [];
  readonly #places: OutputPlace[] = [];
  #inputCount = 0n;
  #runOptions: Handle | undefined;
  #terminated = false;

  constructor(core: SessionCore) {
    this.core = core;
    const ins = core.inputs.length + core.overridable.length, outs = core.outputs.length;
    this.#block = new Block(16 * (ins + outs));
    const words = new BigUint64Array(this.#block.buffer).fill(0n), { address } = this.#block;
    this.addresses = [0, ins, 2 * ins, 2 * ins + outs].map((word) => address + BigInt(word * 8));
    const starts = this.addresses.map(ffi.pointer) as [Pointer, Pointer, Pointer, Pointer];
    [this.inputNames, this.inputs, this.outputNames, this.outputs] = starts;
    this.#inputNameSlots = words.subarray(0, ins);
    this.inputSlots = words.subarray(ins, 2 * ins);
    this.#outputNameSlots = words.subarray(2 * ins, 2 * ins + outs);
    this.outputSlots = words.subarray(2 * ins + outs, 2 * (ins + outs));
    core.inputs.forEach((port, i) => this.#inputNameSlots[i] = port.nameAddress);
  }

  get inputCount(): bigint {
    return this.#inputCount;
  }

  get outputCount(): bigint {
    return this.core.counts[this.#selected.length]!;
  }

  /** Checks feeds and outputs and lays them out for C. When it throws, {@linkcode Frame.finish} is still due. */
  prepare(feeds: Feeds, options: RunSyncOptions | undefined): void {
    const { inputs } = this.core;
    if (typeof feeds !== "object" || feeds === null) {
      throw typeError("INVALID_ARGUMENT", "Cannot run: an object of tensors by name wanted as feeds");
    }
    for (let i = 0; i < inputs.length; i++) {
      const port = inputs[i]!, tensor = feeds[port.name];
      if (!isTensor(tensor)) {
        refuseUnknownFeeds(this.core, feeds); // a misspelt name explains itself better than the one it leaves missing
        refuseFeed(this.core, port.name, port, tensor);
      }
      bindFeed(this, i, port, tensor);
    }
    this.#inputCount = this.core.counts[inputs.length]!;
    let given = 0;
    for (const _ in feeds) given++;
    if (given !== inputs.length) this.#bindOverrides(feeds);
    this.#selectOutputs(options);
  }

  /** Feeds beyond the inputs replace initializers. */
  #bindOverrides(feeds: Feeds): void {
    refuseUnknownFeeds(this.core, feeds);
    let position = this.core.inputs.length;
    this.core.overridable.forEach((port, k) => {
      const tensor: unknown = feeds[port.name];
      if (tensor === undefined) return;
      if (!isTensor(tensor)) refuseFeed(this.core, port.name, port, tensor);
      this.#inputNameSlots[position] = port.nameAddress;
      bindFeed(this, position++, port, tensor, this.core.inputs.length + k);
    });
    this.#inputCount = BigInt(position);
  }

  #selectOutputs(options: RunSyncOptions | undefined): void {
    const { core } = this, wanted = options?.outputs, storage = options?.outputStorage ?? "heap";
    if (wanted === undefined) {
      for (let i = 0; i < core.outputs.length; i++) if (core.outputs[i]!.fetchable) this.#select(i, undefined, storage);
    } else if (Array.isArray(wanted)) {
      for (const name of wanted as readonly string[]) this.#select(core.outputPort(name), undefined, storage);
    } else {
      for (const name in wanted) {
        const tensor: unknown = (wanted as Record<string, unknown>)[name], index = core.outputPort(name);
        if (!isTensor(tensor)) {
          throw typeError("INVALID_ARGUMENT", `Cannot write output "${name}": a Tensor wanted, ${typeof tensor} found`);
        }
        this.#select(index, tensor, storage);
      }
    }
    if (this.#selected.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
  }

  #select(index: number, target: Tensor | undefined, storage: "heap" | "native"): void {
    const position = this.#selected.length, port = this.core.outputs[index]!;
    if (this.#selected.includes(index)) {
      throw typeError("INVALID_ARGUMENT", `Cannot run: output "${port.name}" is asked for twice`);
    }
    const place = placeOutput(this, index, target, storage);
    this.#selected.push(index);
    this.#places.push(place);
    this.#outputNameSlots[position] = port.nameAddress;
    this.outputSlots[position] = place.value;
    if (place.value === 0n) {
      const slot = this.addresses[3]! + BigInt(position * 8);
      this.#notes.push(note(ort().address("ReleaseValue"), slot, 1n, LEDGER.callEach));
    }
  }

  /** Keeps a value until the run is over, and releases it then. */
  addTransient(value: Pointer): bigint {
    const handle = new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });
    this.#transient.push(handle);
    return handle.address;
  }

  /** Options by which the run in flight can be told to stop. */
  get runOptions(): Pointer {
    if (this.#runOptions) return this.#runOptions.pointer!;
    check(ort().api.CreateRunOptions(scratch().a), "make run options");
    const release = ffi.pointer(ort().address("ReleaseRunOptions"))!;
    return (this.#runOptions = new Handle("run options", pointerIn()!, { release })).pointer!;
  }

  /** Has C stop at its next operator. */
  terminate(): void {
    this.#terminated = true;
    check(ort().api.RunOptionsSetTerminate(this.runOptions), "stop a run");
  }

  /** Makes the results of a run that succeeded. */
  collect(): Tensors {
    const { outputs } = this.core, tensors = emptyTensors(), selected = this.#selected;
    let given: Tensor[] | undefined;
    for (let position = 0; position < selected.length; position++) {
      const place = this.#places[position]!, tensor = place.collect(this, position);
      const { name } = outputs[selected[position]!]!;
      if (tensor === undefined) {
        refuseOutput(tensors, name, "nothing");
        continue;
      }
      tensors[name] = tensor;
      if (place.given) (given ??= []).push(tensor);
    }
    if (given) noteGiven(tensors, given);
    if (selected.length < outputs.length) {
      for (const { name, info, fetchable } of outputs) if (!fetchable) refuseOutput(tensors, name, info.dtype);
    }
    return tensors as Tensors;
  }

  /** Lets go of whatever the run used; a value that onnxruntime made and nobody took is released. */
  finish(): void {
    for (let position = 0; position < this.#selected.length; position++) {
      const left = this.#places[position]!.value === 0n ? this.outputSlots[position]! : 0n;
      if (left !== 0n) ort().api.ReleaseValue(ffi.pointer(left));
      this.outputSlots[position] = 0n; // a stale pointer here would be written through by the next run
    }
    this.#selected.length = this.#places.length = 0;
    if (this.#notes.length > 0) this.#notes.splice(0).forEach(strike);
    if (this.#transient.length > 0) {
      this.#transient.splice(0).forEach((handle) => ort().api.ReleaseValue(handle.take()));
    }
    for (const storage of this.reading) storage.unpinRead();
    for (const storage of this.writing) storage.unpinWrite();
    this.reading.length = this.writing.length = this.lent.length = 0;
    if (!this.#terminated) return;
    this.#terminated = false;
    check(ort().api.RunOptionsUnsetTerminate(this.runOptions), "reset run options");
  }

  /** Bytes of native memory that its stages hold. */
  get heldBytes(): number {
    return [...this.inputStages, ...this.outputStages].reduce((sum, stage) => sum + (stage?.capacity ?? 0), 0);
  }

  /** Releases everything. No run may be in flight. */
  dispose(): void {
    this.inputStages.forEach((stage) => stage?.dispose());
    this.outputStages.forEach((stage) => stage?.dispose());
    const options = this.#runOptions?.take();
    if (options) ort().api.ReleaseRunOptions(options);
    this.#block.dispose();
  }
}
