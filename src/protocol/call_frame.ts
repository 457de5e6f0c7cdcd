import { MemoryError, typeError } from "../errors.ts";
import type { Feeds } from "../session/run_options.ts";
import type { NumericData } from "../tensor/dtype.ts";
import { HeapStorage, isTensor, shapeOf, storageOf, stridesOf } from "../tensor/internal.ts";
import { equalShapes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CallOptions, SequenceOptions } from "./call_options.ts";
import {
  type CallInput,
  type CallOutput,
  checkInputs,
  describeInput,
  describeOutput,
  type Reachable,
  selectOutputs,
} from "./call_parts.ts";
import { CallPins } from "./call_pins.ts";
import type { ClientLane } from "./client_lane.ts";
import { requestByteLength, type RequestDescription, type TensorDescription, writeRequest } from "./description.ts";
import { FrameMemory } from "./frame_memory.ts";
import { FLAG, PRIORITIES, SLOT, slotWord } from "./lane_layout.ts";
import type { RemoteModel } from "./remote_model.ts";

/** Room for an output of an unknown size where memory is short. */
const LEAST_ROOM = 4096;

/** One request as it lies in the lane: the next one of the same shapes finds everything there, and only copies. */
export class CallFrame {
  readonly slot: number;
  readonly model: RemoteModel;
  readonly lane: ClientLane;
  /** Tensors that were made for outputs, and are given back unless the result takes them. */
  readonly fresh: Set<Tensor> = new Set();
  #sequence: number;
  #inputs: readonly CallInput[] = [];
  #outputs: readonly CallOutput[] = [];
  #isGiven = false;
  /** Whether tensors were made for outputs, which are the last result's by now. */
  #hasFresh = false;
  readonly #at: number;
  readonly #memory: FrameMemory;
  #requestBytes = 0;
  #stream: SequenceOptions | undefined;
  /** What the last answer said, and views of its outputs by position. */
  #described: readonly TensorDescription[] | undefined;
  #describedBy = 0;
  readonly #results: NumericData[] = [];
  readonly #pins = new CallPins();

  constructor(lane: ClientLane, slot: number, model: RemoteModel) {
    this.lane = lane;
    this.slot = slot;
    this.model = model;
    this.#at = slotWord(slot);
    this.#memory = new FrameMemory(lane);
    this.#sequence = this.word(SLOT.answered);
  }

  /** Which request of its slot it is. */
  get sequence(): number {
    return this.#sequence;
  }

  get outputs(): readonly CallOutput[] {
    return this.#outputs;
  }

  /** Regions that the worker has to open for it. */
  get regions(): string[] {
    return [...this.#inputs, ...this.#outputs].flatMap(({ shared }) => shared?.held.region.name ?? []);
  }

  /** Whether the outputs' tensors were given. */
  get isGiven(): boolean {
    return this.#isGiven;
  }

  /** Whether a request of these feeds and options is laid out as the last one was, but for the bytes. */
  matches(feeds: Feeds, options: CallOptions | undefined, isReachable: Reachable): boolean {
    const isOfItsOwn = options?.sequence !== undefined || this.#stream !== undefined;
    if (
      isOfItsOwn || this.#hasFresh || options?.outputStorage === "shared" || typeof feeds !== "object" || feeds === null
    ) return false;
    let count = 0;
    for (const name in feeds) {
      const input = this.#inputs[count++], tensor = feeds[name]!;
      if (input?.port.name !== name || input.encoded !== undefined || !isTensor(tensor)) return false;
      if (tensor.dtype !== input.port.dtype || stridesOf(tensor) !== undefined) return false;
      if (!equalShapes(shapeOf(tensor), input.shape)) return false;
      const storage = storageOf(tensor);
      if (storage !== input.shared && (input.shared !== undefined || storage.kind !== "heap")) return false;
      if (input.shared !== undefined && !isReachable(input.shared.held.region.name)) return false;
    }
    return count > 0 && count === this.#inputs.length && this.#wantsSame(options?.outputs, isReachable);
  }

  #wantsSame(wanted: CallOptions["outputs"], isReachable: Reachable): boolean {
    const outputs = this.#outputs, isGiven = this.#isGiven;
    if (wanted === undefined) return !isGiven && outputs.length === this.model.fetchable;
    if (Array.isArray(wanted)) {
      return !isGiven && wanted.length === outputs.length && outputs.every(({ port }, i) => port.name === wanted[i]);
    }
    let count = 0;
    for (const name in wanted) {
      const output = outputs[count++];
      if (output?.port.name !== name || output.target !== (wanted as Record<string, Tensor>)[name]) return false;
      if (output.shared !== undefined && !isReachable(output.shared.held.region.name)) return false;
    }
    return isGiven && count === outputs.length;
  }

  /**
   * Checks feeds and outputs, lays them out, copies them, and pins what the worker uses. When it throws,
   * {@linkcode CallFrame.finish} is still due.
   *
   * @param isLaidOut whether it {@linkcode CallFrame.matches}
   * @throws as `InferenceSession.run`; MemoryError MEMORY_BUDGET
   */
  prepare(
    feeds: Feeds,
    options: CallOptions | undefined,
    isLaidOut: boolean,
    asynchronous: boolean,
    isReachable: Reachable,
  ): void {
    if (!isLaidOut) this.#layOut(feeds, options, asynchronous, isReachable);
    for (const { port, data, shared, encoded } of this.#inputs) {
      const tensor = feeds[port.name]!, storage = storageOf(tensor);
      storage.checkReadable();
      this.#pins.read(storage);
      if (shared !== undefined || encoded !== undefined) continue;
      if (storage instanceof HeapStorage) {
        storage.check();
        storage.copyTo(data!);
      } else {
        (data as Uint8Array).set(storage.data(tensor.dtype) as Uint8Array);
      }
    }
    for (const { port, target } of this.#outputs) if (target !== undefined) this.#pins.write(port.name, target);
  }

  /** Hands the request over. @param flags of `FLAG` */
  submit(flags: number, options: CallOptions | undefined): void {
    const { words } = this.lane, at = this.#at, stream = this.#stream;
    words[at + SLOT.flags] = stream === undefined ? flags : flags | FLAG.own;
    if (stream !== undefined) words[at + SLOT.executor] = stream.id % 2 ** 31;
    words[at + SLOT.priority] = PRIORITIES.indexOf(options?.priority ?? "normal");
    words[at + SLOT.queueMs] = Math.min(2 ** 31 - 1, Math.ceil(options?.queueTimeoutMs ?? options?.timeoutMs ?? 0));
    this.#submit();
  }

  /** Asks for results that found no room, now that there is. @param flags of `FLAG` */
  submitCollection(flags: number): void {
    const { words } = this.lane, at = this.#at;
    words[at + SLOT.flags] = flags | FLAG.collect | FLAG.own;
    words[at + SLOT.executor] = words[at + SLOT.ranBy]!;
    this.#submit();
  }

  #submit(): void {
    const { words } = this.lane, at = this.#at;
    this.#sequence = this.#sequence + 1 >>> 0 || 1; // 0 is no request's
    words[at + SLOT.sequence] = this.#sequence; // seen, as `pending` is set after it
    this.lane.submit(this.slot);
  }

  /** Has the worker ring the doorbell, if it has not answered yet. To be looked at once more. */
  wantBell(): void {
    Atomics.or(this.lane.words, this.#at + SLOT.flags, FLAG.bell);
  }

  /** A word of the slot. */
  word(word: number): number {
    return this.lane.words[this.#at + word]! >>> 0;
  }

  /** Says that nobody waits for the request any more. */
  cancel(): void {
    Atomics.store(this.lane.words, this.#at + SLOT.cancelled, this.#sequence | 0);
  }

  /** What the worker says of the outputs; the same as before, while the answer is. */
  describedOutputs(read: (frame: CallFrame) => readonly TensorDescription[]): readonly TensorDescription[] {
    const revision = this.word(SLOT.answerRevision);
    if (this.#described === undefined || this.#describedBy !== revision) {
      this.#described = read(this);
      this.#describedBy = revision;
      this.#results.length = 0;
    }
    return this.#described;
  }

  /** The answer's bytes, copied: the worker may change them. */
  answer(): Uint8Array {
    return this.#memory.answer(this.word(SLOT.answerByteLength));
  }

  /** An output's elements in the lane, of use until the next request. */
  result(position: number, byteLength: number): NumericData {
    return this.#results[position] ??= this.#memory.elements(this.#outputs[position]!, byteLength);
  }

  /** An output's bytes, copied. */
  resultBytes(output: CallOutput, byteLength: number): Uint8Array<ArrayBuffer> {
    return this.#memory.bytes(output, byteLength);
  }

  /** Makes room for outputs of these sizes, in place of the room that there is. @throws {MemoryError} MEMORY_BUDGET */
  makeRoom(byteLengths: readonly number[]): void {
    this.#outputs.forEach((output, i) => output.capacity = Math.max(output.capacity, byteLengths[i]!));
    this.#memory.allocateRoom(this.#outputs);
    this.#describe();
  }

  /** Lets go of what the request used, and of what was made for it and not taken. */
  finish(): void {
    this.#pins.release();
    if (this.fresh.size === 0) return;
    for (const tensor of this.fresh) tensor[Symbol.dispose]();
    this.fresh.clear();
  }

  /** Bytes of the lane that it keeps. */
  get heldBytes(): number {
    return this.#memory.byteLength;
  }

  /** Gives its memory back. Its last request is answered. */
  dispose(): void {
    this.#memory.dispose();
  }

  #layOut(feeds: Feeds, options: CallOptions | undefined, asynchronous: boolean, isReachable: Reachable): void {
    this.#inputs = this.#outputs = []; // whatever fails from here on: the next request is laid out anew
    this.#stream = options?.sequence;
    const omitted = this.#stream === undefined ? [] : this.model.description.state;
    const inputs = checkInputs(this.model, feeds, isReachable, omitted);
    const outputs = selectOutputs(this.model, options, asynchronous, isReachable, this.fresh);
    if (outputs.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
    this.#hasFresh = this.fresh.size > 0;
    this.#isGiven = options?.outputs !== undefined && !Array.isArray(options.outputs);
    this.#requestBytes = requestByteLength(this.#request(inputs, outputs));
    this.#memory.allocate(this.#requestBytes, inputs, outputs);
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#allocateRoom();
    this.#describe();
  }

  /** Makes room for outputs: little, where the lane has no more, and they are collected one after the other. */
  #allocateRoom(): void {
    try {
      this.#memory.allocateRoom(this.#outputs);
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      for (const output of this.#outputs) {
        if (output.port.fixed === undefined) output.capacity = Math.min(output.capacity, LEAST_ROOM);
      }
      this.#memory.allocateRoom(this.#outputs);
    }
  }

  #request(inputs: readonly CallInput[], outputs: readonly CallOutput[]): RequestDescription {
    const stream = this.#stream;
    return {
      inputs: inputs.map(describeInput),
      outputs: outputs.map(describeOutput),
      sequence: stream && { id: stream.id, start: stream.start ?? false, end: stream.end ?? false },
    };
  }

  #describe(): void {
    this.#described = undefined;
    const { words } = this.lane, at = this.#at, { requestOffset, answerOffset, answerCapacity } = this.#memory;
    const { index, revision } = this.model.description;
    words[at + SLOT.model] = index;
    words[at + SLOT.revision] = revision;
    words[at + SLOT.requestOffset] = requestOffset;
    words[at + SLOT.requestByteLength] = this.#requestBytes;
    words[at + SLOT.answerOffset] = answerOffset;
    words[at + SLOT.answerCapacity] = answerCapacity;
    words[at + SLOT.layout]!++;
    writeRequest(this.#memory.request, this.#request(this.#inputs, this.#outputs));
  }
}
