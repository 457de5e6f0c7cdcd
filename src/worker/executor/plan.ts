import { cstring } from "../../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { typeError } from "../../errors.ts";
import { Handle } from "../../handle.ts";
import { Block } from "../../memory/block.ts";
import { ort } from "../../ort/environment.ts";
import { pointerIn, scratch } from "../../ort/scratch.ts";
import { check } from "../../ort/status.ts";
import { createTensorValue } from "../../ort/value.ts";
import { PLACE, type RequestDescription } from "../../protocol/description.ts";
import { ExpectedExtents, type Extent } from "../../session/expected_extents.ts";
import type { Port } from "../../session/port.ts";
import type { SessionCore } from "../../session/session_core.ts";
import type { BatchAxes } from "../batch_axes.ts";
import type { Delivery } from "./answer.ts";
import type { LaneView } from "./lane_view.ts";
import { FLOATS, planInput, type PlannedInput } from "./planned_input.ts";
import { type PlannedOutput, planOutput } from "./planned_output.ts";
import type { RegionPart } from "./region_part.ts";
import type { Delivered } from "./single.ts";
import { releaseValue, valueHandle } from "./value_handle.ts";

/** An output that C writes at its place. */
export interface Target {
  readonly value: Handle;
  readonly extent: Extent;
}

/** What a plan is made by. */
interface PlanOptions {
  /** Inputs that are not fed, as the worker keeps them. */
  readonly omitted: ReadonlySet<string>;
  /** Whether floats may be read and written where the client can write. */
  readonly inPlace: boolean;
  /** Along which requests of the model are joined, if they are. */
  readonly axes: BatchAxes | undefined;
}

/**
 * A request, checked and laid out for C. It is made of a private copy of what the client wrote, and holds as long as the
 * client writes the same again.
 */
export class Plan implements Disposable {
  readonly core: SessionCore;
  readonly request: RequestDescription;
  /** What must be equal for requests to run as one: dtypes and shapes of the inputs, and which outputs are wanted. */
  readonly signature: string;
  /** Tells which outputs of which session are wanted. */
  readonly outputKey: string;
  /** What it counts for in a batch. */
  readonly rows: number;
  readonly inputs: readonly PlannedInput[];
  readonly outputs: readonly PlannedOutput[];
  /** What outputs were of which the model leaves the shape open. */
  readonly expected: ExpectedExtents = new ExpectedExtents();
  readonly inputNames: Pointer;
  readonly inputValues: Pointer;
  readonly outputNames: Pointer;
  readonly outputValues: Pointer;
  /** `OrtValue *` that come out; 0 where onnxruntime makes one. */
  readonly slots: BigUint64Array;
  /** By position, what C writes at the place of an output. */
  readonly targets: (Target | undefined)[] = [];
  /** Whether C writes all outputs at their places, and the slots say where. */
  isInPlace = false;
  /** By position, where outputs go that C does not write there. */
  readonly places: Uint8Array[] = [];
  /** What was delivered last. */
  delivery: Delivery | undefined;
  /** Where the outputs were described last: they need not be again. */
  described: { readonly layout: number; readonly revision: number; readonly delivered: Delivered } | undefined;
  /** The same tied together, once a request comes again: C resolves nothing then. */
  #binding: Handle | undefined;
  #runs = 0;
  #holds = false;
  readonly #inPlace: boolean;
  readonly #copies: readonly (() => void)[];
  readonly #block: Block;
  readonly #regions: readonly RegionPart[];

  /** @throws {TypeError | RangeError | ReferenceError | NativeError} for what cannot be run */
  constructor(core: SessionCore, lane: LaneView, request: RequestDescription, { omitted, inPlace, axes }: PlanOptions) {
    this.core = core;
    this.request = request;
    this.#inPlace = inPlace;
    const inputs: PlannedInput[] = [];
    this.inputs = inputs;
    try {
      const isFed = (port: Port): boolean => inputs.some((other) => other.port === port);
      for (const tensor of request.inputs) inputs.push(planInput(core, lane, tensor, { isFed, inPlace }));
      this.#checkNames(omitted);
      this.outputs = request.outputs.map((tensor) => planOutput(core, lane, tensor));
      if (this.outputs.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
      this.outputs.forEach((output, position) => this.targets[position] = this.#target(lane, output));
    } catch (error) {
      this.#releaseValues();
      throw error;
    }
    this.rows = axes === undefined ? 1 : rowsOf(inputs, axes);
    this.outputKey = `${core.id}>${this.outputs.map(({ index }) => index).join()}`;
    this.#regions = [...inputs, ...this.outputs].flatMap(({ part }) => part ?? []);
    this.signature = inputs.map(({ port, shape }) => `${port.name}:${shape.join("x")}`).join() + ">" +
      this.outputs.map(({ index }) => index).join();
    this.#copies = inputs.flatMap(({ copy }) => copy ?? []);
    const ins = inputs.length, outs = this.outputs.length;
    this.#block = new Block(16 * (ins + outs));
    const words = new BigUint64Array(this.#block.buffer, 0, 2 * (ins + outs)).fill(0n);
    inputs.forEach(({ port, value }, i) => {
      words[i] = port.nameAddress;
      words[ins + i] = value.address;
    });
    this.outputs.forEach(({ port }, i) => words[2 * ins + i] = port.nameAddress);
    const at = (word: number): Pointer => ffi.pointer(this.#block.address + BigInt(word * 8))!;
    this.inputNames = at(0);
    this.inputValues = at(ins);
    this.outputNames = at(2 * ins);
    this.outputValues = at(2 * ins + outs);
    this.slots = words.subarray(2 * ins + outs);
  }

  /** Takes hold of the shared memory that is read and written, and copies what must be. @throws {ReferenceError} STALE_REFERENCE */
  begin(): void {
    let held = 0;
    try {
      for (; held < this.#regions.length; held++) this.#regions[held]!.hold();
    } catch (error) {
      while (held > 0) this.#regions[--held]!.release();
      throw error;
    }
    this.#holds = true;
    const copies = this.#copies;
    for (let i = 0; i < copies.length; i++) copies[i]!();
  }

  /** Lets go of the shared memory. Harmless when repeated. */
  end(): void {
    if (!this.#holds) return;
    this.#holds = false;
    const regions = this.#regions;
    for (let i = 0; i < regions.length; i++) regions[i]!.release();
  }

  /** Has C compute. Returns its status. */
  run(runOptions: Pointer): Pointer | null {
    const { core, inputNames, inputValues, outputNames, outputValues } = this, { api, pointer, counts } = core;
    if (this.isInPlace && this.#runs++ > 0) {
      return api.RunWithBinding(pointer, runOptions, (this.#binding ??= this.#bind()).pointer!);
    }
    const ins = counts[this.inputs.length]!, outs = counts[this.outputs.length]!;
    return api.Run(pointer, runOptions, inputNames, inputValues, ins, outputNames, outs, outputValues);
  }

  /** Leaves it to onnxruntime again where outputs go. */
  unbind(): void {
    this.isInPlace = false;
    this.#runs = 0;
    const binding = this.#binding?.take();
    if (binding) this.core.api.ReleaseIoBinding(binding);
    this.#binding = undefined;
  }

  #bind(): Handle {
    const { api, pointer } = this.core;
    check(api.CreateIoBinding(pointer, scratch().a), "make a binding");
    const binding = pointerIn()!, release = ffi.pointer(ort().address("ReleaseIoBinding"))!;
    const handle = new Handle("binding", binding, { release });
    for (const { port, value } of this.inputs) {
      check(api.BindInput(binding, cstring(port.name), value.pointer), "bind an input");
    }
    this.outputs.forEach(({ port }, i) => {
      check(api.BindOutput(binding, cstring(port.name), this.targets[i]!.value.pointer), "bind an output");
    });
    return handle;
  }

  /** Whether it holds for one request only: strings are decoded when it is made. */
  get once(): boolean {
    return this.inputs.some(({ pointer }) => pointer === undefined);
  }

  /** Whether it holds for another request: the memory that it was laid out over is still there. */
  get usable(): boolean {
    const regions = this.#regions;
    for (let i = 0; i < regions.length; i++) if (regions[i]!.gone) return false;
    return true;
  }

  /** Makes the value over an output's place, of the shape that it is expected to have. */
  expectTarget(lane: LaneView, position: number): Target | undefined {
    const output = this.outputs[position]!;
    return this.targets[position] ??= this.#target(lane, output);
  }

  #checkNames(omitted: ReadonlySet<string>): void {
    for (const port of this.core.inputs) {
      const isFed = this.inputs.some((input) => input.port === port);
      if (isFed && omitted.has(port.name)) {
        const message = `Cannot feed "${port.name}" in a sequence: the worker keeps that state`;
        throw typeError("UNKNOWN_FEED", message);
      }
      if (isFed || omitted.has(port.name)) continue;
      const names = this.core.inputs.map(({ name, info }) => `${name} (${info.dtype})`).join(", ");
      throw typeError("MISSING_FEED", `Cannot run without input "${port.name}": the model's inputs are ${names}`);
    }
  }

  /** C may read again what it wrote for another node: memory of the client only holds what may change meanwhile. */
  #target(lane: LaneView, { port, index, target, part }: PlannedOutput): Target | undefined {
    const { elementType } = port;
    if (!this.#inPlace || !FLOATS.includes(elementType)) return undefined;
    if (part !== undefined) {
      const { shape, byteLength } = target;
      const value = valueHandle(createTensorValue(part.pointer, byteLength, shape, elementType));
      return { value, extent: { shape, byteLength } };
    }
    const extent = port.fixed ?? this.expected.of(index);
    if (extent === undefined || target.place !== PLACE.lane || extent.byteLength > target.byteLength) return undefined;
    const pointer = lane.at(target.byteOffset);
    const value = valueHandle(createTensorValue(pointer, extent.byteLength, extent.shape, elementType));
    return { value, extent };
  }

  #releaseValues(): void {
    for (const { value, block } of this.inputs) {
      releaseValue(value);
      block?.dispose();
    }
    for (const target of this.targets.splice(0)) releaseValue(target?.value);
  }

  [Symbol.dispose](): void {
    this.unbind();
    this.#releaseValues();
    this.#block.dispose();
  }
}

/** How many rows a request brings, also one that cannot be joined: those of its first input that could be. */
function rowsOf(inputs: readonly PlannedInput[], axes: BatchAxes): number {
  for (const { port, shape } of inputs) {
    const axis = axes.inputs[port.name];
    if (typeof axis === "number") return shape[axis] ?? 1;
  }
  return 1;
}
