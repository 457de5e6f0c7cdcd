import { ffi, type Pointer } from "../../ffi/mod.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { typeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { Block } from "../memory/block.ts";
import { ort } from "../ort/environment.ts";
import { check } from "../ort/status.ts";
import type { NumericData } from "../tensor/dtype.ts";
import { isTensor, type Storage, type StorageKind } from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ExpectedExtents, refusesShape } from "./expected_extents.ts";
import { bindFeed, refuseFeed, refuseUnknownFeeds } from "./feed.ts";
import { placeOutput } from "./output.ts";
import { releaseRunOptions } from "./idle_arena.ts";
import type { OutputPlace, StagedPlace } from "./output_place.ts";
import type { Feeds, RunSyncOptions } from "./run_options.ts";
import type { SessionCore } from "./session_core.ts";
import type { Stage } from "./stage.ts";
import { Repeats } from "./repeats.ts";
import { emptyTensors, refuseOutput, type Tensors } from "./tensors.ts";

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
  /** OrtValues that come out: 0 before the run where onnxruntime makes one. */
  readonly outputSlots: BigUint64Array;
  /** Stages by the index of their input or output, initializers that are replaced after the inputs. */
  readonly inputStages: (Stage | undefined)[] = [];
  readonly outputStages: (Stage | undefined)[] = [];
  /** By output, the places over its stage. */
  readonly stagedPlaces: (StagedPlace | undefined)[] = [];
  readonly stagedGivenPlaces: (OutputPlace | undefined)[] = [];
  /** What outputs will be whose shape the model leaves open. */
  readonly expected: ExpectedExtents = new ExpectedExtents();
  /** By input and by output, the shape that was checked last. */
  readonly checkedShapes: (readonly number[] | undefined)[] = [];
  readonly checkedTargets: (readonly number[] | undefined)[] = [];
  /** By position in the run, the tensor that an output is written into. */
  readonly targets: (Tensor | undefined)[] = [];
  /** Those of them that are new memory: given back unless the run's result takes them. */
  readonly fresh: Set<Tensor> = new Set();
  /** Storages that C reads or writes, pinned. */
  readonly reading: Storage[] = [];
  readonly writing: Storage[] = [];
  /** Arrays of the JavaScript heap that C reads: kept until it has. */
  readonly lent: NumericData[] = [];
  /** Whether C runs on another thread, where nothing of the JavaScript heap may be lent. */
  asynchronous = false;
  readonly #inputNameSlots: BigUint64Array;
  readonly #inputSlots: BigUint64Array;
  readonly #outputNameSlots: BigUint64Array;
  readonly repeats: Repeats = new Repeats();
  readonly #block: Block;
  readonly #transient: Handle[] = [];
  /** Notes for the reaper of outputs that onnxruntime makes. */
  readonly #notes: number[] = [];
  /** Whose addresses the slots hold: writing a bigint costs more than to see that it is there. */
  readonly inputValues: (Handle | undefined)[] = [];
  readonly outputValues: (Handle | undefined)[] = [];
  /** By position in the run: the output's index in the model, and its place. What lies beyond the count is an earlier run's. */
  readonly selected: number[] = [];
  readonly #places: OutputPlace[] = [];
  #outputCount = 0;
  #given = false;
  #inputCount = 0;
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
    this.#inputSlots = words.subarray(ins, 2 * ins);
    this.#outputNameSlots = words.subarray(2 * ins, 2 * ins + outs);
    this.outputSlots = words.subarray(2 * ins + outs, 2 * (ins + outs));
    core.inputs.forEach((port, i) => this.#inputNameSlots[i] = port.nameAddress);
  }

  get inputCount(): number {
    return this.#inputCount;
  }

  get outputCount(): number {
    return this.#outputCount;
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
    this.#inputCount = inputs.length;
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
    this.#inputCount = position;
  }

  #selectOutputs(options: RunSyncOptions | undefined): void {
    const { core } = this, wanted = options?.outputs, storage = options?.outputStorage ?? "heap";
    this.#given = false;
    if (wanted === undefined) {
      for (let i = 0; i < core.outputs.length; i++) if (core.outputs[i]!.fetchable) this.#select(i, undefined, storage);
    } else if (Array.isArray(wanted)) {
      for (const name of wanted as readonly string[]) this.#selectByName(name, storage);
    } else {
      this.#given = true;
      for (const name in wanted) this.#selectGiven(name, (wanted as Record<string, unknown>)[name], storage);
    }
    if (this.#outputCount === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
  }

  #selectByName(name: string, storage: StorageKind): void {
    const index = this.core.outputPort(name);
    for (let i = 0; i < this.#outputCount; i++) {
      if (this.selected[i] !== index) continue;
      throw typeError("INVALID_ARGUMENT", `Cannot run: output "${name}" is asked for twice`);
    }
    this.#select(index, undefined, storage);
  }

  #selectGiven(name: string, tensor: unknown, storage: StorageKind): void {
    const { core } = this, before = this.selected[this.#outputCount];
    const index = before !== undefined && core.outputs[before]!.name === name ? before : core.outputPort(name);
    if (!isTensor(tensor)) {
      throw typeError("INVALID_ARGUMENT", `Cannot write output "${name}": a Tensor wanted, ${typeof tensor} found`);
    }
    this.#select(index, tensor, storage);
  }

  #select(index: number, target: Tensor | undefined, storage: StorageKind): void {
    const position = this.#outputCount;
    this.#places[position] = placeOutput(this, position, index, target, storage);
    if (this.selected[position] !== index) {
      this.selected[position] = index;
      this.repeats.changed();
      this.#outputNameSlots[position] = this.core.outputs[index]!.nameAddress;
    }
    this.#outputCount++;
    if (this.outputValues[position] === undefined) this.#noteMade(position);
  }

  /**
   * Leaves all outputs to onnxruntime whose shape the model declares or runs before had, when that is why a run failed.
   * Tells whether there are any: then C may run again.
   */
  withdraw(status: Pointer): boolean {
    if (this.#given || !refusesShape(ffi.string(ort().api.GetErrorMessage(status)!))) return false;
    let any = false;
    for (let position = 0; position < this.#outputCount; position++) {
      if (this.outputValues[position] === undefined) continue;
      this.putOutput(position, undefined);
      const target = this.targets[position], isFresh = target !== undefined && this.fresh.has(target);
      if (isFresh) target[Symbol.dispose]();
      this.#places[position] = this.core.madePlace(this.selected[position]!, isFresh ? "shared" : "heap");
      this.#noteMade(position);
      any = true;
    }
    return any;
  }

  #noteMade(position: number): void {
    const slot = this.addresses[3]! + BigInt(position * 8);
    this.#notes.push(note(ort().address("ReleaseValue"), slot, 1n, LEDGER.callEach));
  }

  /** Puts a value at a position of what goes in. */
  putInput(position: number, value: Handle): void {
    if (this.inputValues[position] === value) return;
    this.inputValues[position] = value;
    this.repeats.changed();
    this.#inputSlots[position] = value.address;
  }

  /** Puts a value at a position of what comes out; without one, onnxruntime makes it. */
  putOutput(position: number, value: Handle | undefined): void {
    if (this.outputValues[position] === value) return;
    this.outputValues[position] = value;
    this.repeats.changed();
    this.outputSlots[position] = value === undefined ? 0n : value.address;
  }

  /** Keeps a value until the run is over, and releases it then. */
  addTransient(value: Pointer): Handle {
    const handle = new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });
    this.#transient.push(handle);
    return handle;
  }

  /** Options by which the run in flight can be told to stop. */
  get runOptions(): Pointer {
    return (this.#runOptions ??= this.core.makeRunOptions()).pointer!;
  }

  /** Has C stop at its next operator. */
  terminate(): void {
    this.#terminated = true;
    check(ort().api.RunOptionsSetTerminate(this.runOptions), "stop a run");
  }

  /** Makes the results of a run that succeeded. */
  collect(): Tensors {
    const { outputs } = this.core, tensors = emptyTensors(this.#given), count = this.#outputCount;
    for (let position = 0; position < count; position++) {
      const tensor = this.#places[position]!.collect(this, position), { name } = outputs[this.selected[position]!]!;
      if (tensor === undefined) refuseOutput(tensors, name, "nothing");
      else tensors[name] = tensor;
    }
    if (count < outputs.length) {
      for (const { name, info, fetchable } of outputs) if (!fetchable) refuseOutput(tensors, name, info.dtype);
    }
    this.fresh.clear();
    return tensors as unknown as Tensors;
  }

  /** Lets go of whatever the run used; a value that onnxruntime made and nobody took is released. */
  finish(): void {
    if (this.#notes.length > 0) this.#releaseMade();
    this.#outputCount = 0;
    while (this.targets.length > 0) this.targets.pop();
    for (const tensor of this.fresh) tensor[Symbol.dispose]();
    this.fresh.clear();
    if (this.#transient.length > 0) {
      this.#transient.splice(0).forEach((handle) => ort().api.ReleaseValue(handle.take()));
    }
    while (this.reading.length > 0) this.reading.pop()!.unpinRead();
    while (this.writing.length > 0) this.writing.pop()!.unpinWrite();
    if (this.lent.length > 0) this.lent.length = 0;
    if (!this.#terminated) return;
    this.#terminated = false;
    check(ort().api.RunOptionsUnsetTerminate(this.runOptions), "reset run options");
  }

  #releaseMade(): void {
    for (let position = 0; position < this.#outputCount; position++) {
      if (this.outputValues[position] !== undefined) continue;
      const left = this.outputSlots[position]!;
      this.outputSlots[position] = 0n; // a stale pointer here would be written through by the next run
      if (left !== 0n) ort().api.ReleaseValue(ffi.pointer(left));
    }
    while (this.#notes.length > 0) strike(this.#notes.pop()!);
  }

  /** Bytes of native memory that its stages hold. */
  get heldBytes(): number {
    return [...this.inputStages, ...this.outputStages].reduce((sum, stage) => sum + (stage?.capacity ?? 0), 0);
  }

  /** Releases everything. No run may be in flight. */
  dispose(): void {
    this.repeats.forget();
    this.inputStages.forEach((stage) => stage?.dispose());
    this.outputStages.forEach((stage) => stage?.dispose());
    releaseRunOptions(this.#runOptions);
    this.#block.dispose();
  }
}
