import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import type { OrtApi } from "../../ffi/onnxruntime.ts";
import type { Handle } from "../handle.ts";
import { Block } from "../memory/block.ts";
import { ort } from "../ort/environment.ts";
import { describeValues, type ValueInfo } from "../ort/type_info.ts";
import type { StorageKind } from "../tensor/storage.ts";
import { Frame } from "./frame.ts";
import { type ArenaPolicy, IdleArena, makeRunOptions, releaseRunOptions, takeFirstPiece } from "./idle_arena.ts";
import { MadePlace } from "./output_place.ts";
import { describePort, outputIndex, type Port } from "./port.ts";

const MAX_IDLE_FRAMES = 256, MAX_IDLE_BYTES = 4 << 20;

/** What one thread knows of a native session, for all its references: descriptions, names in C, memory for runs. */
export class SessionCore {
  readonly api: OrtApi = ort().api;
  readonly pointer: Pointer;
  readonly address: bigint;
  readonly id: string;
  /** Whether the CPU alone computes. What another device computes is copied out, into memory of any shape. */
  readonly onCpu: boolean;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly inputInfos: readonly ValueInfo[];
  readonly outputInfos: readonly ValueInfo[];
  /** Initializers that a feed may replace. */
  readonly overridable: readonly Port[];
  readonly outputIndex: ReadonlyMap<string, number>;
  /** Small counts as C takes them. */
  readonly counts: readonly bigint[];
  readonly #made: { readonly [S in StorageKind]: MadePlace[] } = { heap: [], native: [], shared: [] };
  readonly #names: Block;
  readonly #idle: Frame[] = [];
  #idleBytes = 0;
  #syncFrame: Frame | undefined;
  #idleArena: IdleArena | undefined;
  #shrinks = false;
  #runOptions: Handle | undefined;
  #closed = false;

  /** @param onCpu whether the CPU alone computes; then the outputs' memory can be there before a run */
  constructor(pointer: Pointer, id: string, onCpu: boolean = true) {
    this.onCpu = onCpu;
    this.pointer = pointer;
    this.address = ffi.address(pointer);
    this.id = id;
    const groups = (["Input", "Output", "OverridableInitializer"] as const).map((g) => describeValues(pointer, g));
    const names = groups.flat().map((info) => cstring(info.name));
    this.#names = new Block(names.reduce((sum, name) => sum + name.length, 0));
    const bytes = new Uint8Array(this.#names.buffer);
    let at = 0, next = 0;
    const [inputs, outputs, overridable] = groups.map((infos) =>
      infos.map((info): Port => {
        const name = names[next++]!, nameAddress = this.#names.address + BigInt(at);
        bytes.set(name, at);
        at += name.length;
        const port = describePort(info, nameAddress);
        return onCpu ? port : { ...port, fixed: undefined };
      })
    );
    this.inputInfos = groups[0]!;
    this.outputInfos = groups[1]!;
    this.inputs = inputs!;
    this.outputs = outputs!;
    this.overridable = overridable!;
    this.outputIndex = new Map(outputs!.map((port, i) => [port.name, i]));
    this.counts = Array.from({ length: names.length + 1 }, (_, i) => BigInt(i));
  }

  /**
   * Says when the memory of activations goes back to the system.
   *
   * @param hold keeps the native session from being released until the result is disposed of
   */
  keepArena(policy: ArenaPolicy, hold: () => Disposable | undefined): void {
    const { pointer, inputInfos: inputs, outputInfos: outputs } = this;
    if (policy === "idle" || policy === "run") takeFirstPiece(pointer);
    if (policy === "idle" || policy === "trim") {
      this.#idleArena = new IdleArena({ policy, pointer, inputs, outputs, hold });
    }
    this.#shrinks = policy === "run";
    if (this.#shrinks) this.#runOptions = this.makeRunOptions();
  }

  /** Run options for one run at a time, which the caller releases. */
  makeRunOptions(): Handle {
    return makeRunOptions(this.#shrinks);
  }

  /** Run options for a run that has none of its own. */
  get runOptions(): Pointer | null {
    return this.#runOptions?.pointer ?? null;
  }

  /** Notes that a run is over that the event loop waited for. */
  ran(): void {
    this.#idleArena?.ran();
  }

  /** Notes that a run began that the event loop does not wait for. */
  began(): void {
    this.#idleArena?.began();
  }

  /** Notes that it is over. */
  ended(): void {
    this.#idleArena?.ended();
  }

  /** A frame for a synchronous run: the same one each time, unless a run began within another. */
  takeSyncFrame(): Frame {
    const frame = this.#syncFrame ?? new Frame(this);
    this.#syncFrame = undefined;
    return frame;
  }

  /** Gives a synchronous run's frame back. */
  giveSyncFrame(frame: Frame): void {
    this.ran();
    if (this.#closed || this.#syncFrame) frame.dispose();
    else this.#syncFrame = frame;
  }

  /** A frame for one asynchronous run. */
  takeFrame(): Frame {
    this.began();
    const idle = this.#idle.pop(), frame = idle ?? new Frame(this);
    if (idle) this.#idleBytes -= idle.heldBytes;
    frame.asynchronous = true;
    return frame;
  }

  /** Gives a frame back for the next run; as many are kept as can be in flight, but little memory. */
  giveFrame(frame: Frame): void {
    this.ended();
    const bytes = this.#idleBytes + frame.heldBytes;
    if (this.#closed || this.#idle.length >= MAX_IDLE_FRAMES || bytes > MAX_IDLE_BYTES) return frame.dispose();
    this.#idle.push(frame);
    this.#idleBytes = bytes;
  }

  /** The output of this name. @throws {TypeError} UNKNOWN_OUTPUT, or NOT_A_TENSOR naming what it is */
  outputPort(name: string): number {
    return outputIndex(this.outputs, this.outputIndex.get(name), name);
  }

  /** The place of an output that onnxruntime allocates. */
  madePlace(index: number, storage: StorageKind): MadePlace {
    return this.#made[storage][index] ??= new MadePlace(this.outputs[index]!, index, storage);
  }

  /** Releases what this thread made for runs, none of which may be in flight. The native session is the caller's. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#idleArena?.stop();
    releaseRunOptions(this.#runOptions);
    this.#syncFrame?.dispose();
    this.#idle.splice(0).forEach((frame) => frame.dispose());
    this.#names.dispose();
  }
}
