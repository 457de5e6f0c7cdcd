import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { rangeError, typeError } from "../../errors.ts";
import { Handle } from "../../handle.ts";
import { Block } from "../../memory/block.ts";
import { ort } from "../../ort/environment.ts";
import { createStringValue, createTensorValue } from "../../ort/value.ts";
import { violation } from "../../protocol/frames.ts";
import { PLACE, type RequestDescription, type TensorDescription } from "../../protocol/description.ts";
import { ExpectedExtents } from "../../session/expected_extents.ts";
import { checkShape, matchesShape, type Port } from "../../session/port.ts";
import type { SessionCore } from "../../session/session_core.ts";
import { decodeTensor } from "../../tensor/bytes.ts";
import { dtypeOfOnnx, elementByteLength } from "../../tensor/dtype.ts";
import type { LaneView } from "./lane_view.ts";
import { RegionPart } from "./region_part.ts";
import type { Delivered } from "./single.ts";

/** Floats up to so many bytes may be parameters, which C reads more than once. */
const PARAMETER_BYTES = 256;
/** ONNX's numbers of what C computes with and never takes for an index: float32, float16, float64, bfloat16. */
const FLOATS: readonly number[] = [1, 10, 11, 16];

/** An input of a plan. */
export interface PlannedInput {
  readonly port: Port;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly value: Handle;
  /** Where it lies: in the client's memory, or in the copy of it. */
  readonly pointer: Pointer | undefined;
  /** Brings what the client wrote into memory that it cannot change, before each run. */
  readonly copy: (() => void) | undefined;
  readonly part: RegionPart | undefined;
  /** Memory that is the plan's. */
  readonly block: Block | undefined;
}

/** An output of a plan. */
export interface PlannedOutput {
  readonly port: Port;
  readonly index: number;
  /** Where it goes, as the client says. */
  readonly target: TensorDescription;
  readonly part: RegionPart | undefined;
}

const valueHandle = (value: Pointer): Handle =>
  new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });

/** Releases a value. Harmless when repeated. */
export function releaseValue(handle: Handle | undefined): void {
  const value = handle?.take();
  if (value) ort().api.ReleaseValue(value);
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
  /** Values over the places of outputs, by position. */
  readonly targets: (Handle | undefined)[] = [];
  /** Whether C writes all outputs at their places, and the slots say where. */
  isInPlace = false;
  /** Where the outputs were described last: they need not be again. */
  described: { readonly layout: number; readonly revision: number; readonly delivered: Delivered } | undefined;
  readonly #copies: readonly (() => void)[];
  readonly #block: Block;
  readonly #regions: RegionPart[] = [];

  /** @throws {TypeError | RangeError | ReferenceError | NativeError} for what cannot be run */
  constructor(core: SessionCore, lane: LaneView, request: RequestDescription, omitted: ReadonlySet<string>) {
    this.core = core;
    this.request = request;
    const inputs: PlannedInput[] = [];
    this.inputs = inputs;
    try {
      for (const tensor of request.inputs) inputs.push(this.#input(lane, tensor));
      this.#checkNames(omitted);
      this.outputs = request.outputs.map((tensor) => this.#output(lane, tensor));
    } catch (error) {
      this.#releaseInputs();
      throw error;
    }
    if (this.outputs.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
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
    this.outputs.forEach((output, position) => this.targets[position] = this.#target(lane, output));
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
    const copies = this.#copies;
    for (let i = 0; i < copies.length; i++) copies[i]!();
  }

  /** Lets go of the shared memory. */
  end(): void {
    for (const part of this.#regions) part.release();
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
  expectTarget(lane: LaneView, position: number): Handle | undefined {
    const output = this.outputs[position]!;
    return this.targets[position] ??= this.#target(lane, output);
  }

  #input(lane: LaneView, tensor: TensorDescription): PlannedInput {
    const { core } = this, count = core.inputs.length, { shape, byteLength, byteOffset, place } = tensor;
    const port = tensor.port < count ? core.inputs[tensor.port] : core.overridable[tensor.port - count];
    if (port === undefined) throw typeError("UNKNOWN_FEED", `Cannot feed input ${tensor.port}: the model has ${count}`);
    if (this.inputs.some((other) => other.port === port)) throw violation(`input "${port.name}" is fed twice`);
    const dtype = dtypeOfOnnx(tensor.elementType);
    if (dtype !== port.dtype || port.info.kind === "sequence" || port.info.kind === "map") {
      const message = `Cannot feed "${port.name}": ${port.info.dtype} wanted, ${dtype ?? tensor.elementType} found`;
      throw typeError("INVALID_DTYPE", message);
    }
    checkShape(port, shape);
    if (dtype === "string") return this.#strings(lane, port, tensor);
    checkExtent(port.name, tensor);
    const isParameter = byteLength <= PARAMETER_BYTES || !FLOATS.includes(tensor.elementType);
    let part: RegionPart | undefined, from: Pointer;
    if (place === PLACE.region) {
      part = RegionPart.open(tensor, lane.pid);
      this.#regions.push(part);
      from = part.pointer;
    } else if (place === PLACE.lane && lane.contains(byteOffset, byteLength) && byteOffset % 64 === 0) {
      from = lane.at(byteOffset);
    } else {
      throw outside(`input "${port.name}"`, tensor);
    }
    if (!isParameter) {
      const value = valueHandle(createTensorValue(from, byteLength, shape, tensor.elementType));
      return { port, shape, byteLength, value, pointer: from, copy: undefined, part, block: undefined };
    }
    const block = new Block(Math.max(1, byteLength)), words = Math.floor(byteLength / 4);
    const source = ffi.view(from, byteLength), to32 = new Uint32Array(block.buffer, 0, words);
    const from32 = new Uint32Array(source, 0, words), rest = byteLength - words * 4;
    const copy = (): void => {
      if (words <= 16) { for (let i = 0; i < words; i++) to32[i] = from32[i]!; }
      else to32.set(from32);
      if (rest > 0) new Uint8Array(block.buffer, words * 4, rest).set(new Uint8Array(source, words * 4, rest));
    };
    const value = valueHandle(createTensorValue(block.pointer, byteLength, shape, tensor.elementType));
    return { port, shape, byteLength, value, pointer: block.pointer, copy, part, block };
  }

  #strings(lane: LaneView, port: Port, tensor: TensorDescription): PlannedInput {
    const { byteOffset, byteLength, shape, elementType, place } = tensor;
    if (place !== PLACE.encoded || !lane.contains(byteOffset, byteLength)) {
      throw outside(`input "${port.name}"`, tensor);
    }
    const { dtype, shape: found, data } = decodeTensor(new Uint8Array(lane.view(byteOffset, byteLength)).slice());
    if (dtype !== "string" || found.join() !== shape.join()) throw violation(`input "${port.name}" is other bytes`);
    const value = valueHandle(createStringValue(data as string[], shape, elementType));
    return { port, shape, byteLength, value, pointer: undefined, copy: undefined, part: undefined, block: undefined };
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

  #output(lane: LaneView, target: TensorDescription): PlannedOutput {
    const port = this.core.outputs[target.port];
    if (port === undefined) {
      const message = `Cannot fetch output ${target.port}: the model has ${this.core.outputs.length}`;
      throw typeError("UNKNOWN_OUTPUT", message);
    }
    if (!port.fetchable) {
      throw typeError("NOT_A_TENSOR", `Cannot fetch output "${port.name}": it is ${port.info.dtype}`);
    }
    if (target.place === PLACE.region) {
      checkExtent(port.name, target);
      if (target.elementType !== port.elementType || !matchesShape(port, target.shape)) {
        const message = `Cannot write output "${port.name}": shape [${port.info.shape.join(", ")}] wanted, ` +
          `[${target.shape.join(", ")}] found`;
        throw rangeError("INVALID_SHAPE", message);
      }
      const part = RegionPart.open(target, lane.pid);
      this.#regions.push(part);
      return { port, index: target.port, target, part };
    }
    const isInLane = (target.place === PLACE.lane || target.place === PLACE.encoded) &&
      lane.contains(target.byteOffset, target.byteLength) && target.byteOffset % 64 === 0;
    if (!isInLane && target.place !== PLACE.none) throw outside(`output "${port.name}"`, target);
    return { port, index: target.port, target, part: undefined };
  }

  #target(lane: LaneView, { port, index, target, part }: PlannedOutput): Handle | undefined {
    if (part !== undefined) {
      return valueHandle(createTensorValue(part.pointer, target.byteLength, target.shape, port.elementType));
    }
    const extent = port.fixed ?? this.expected.of(index);
    if (extent === undefined || target.place !== PLACE.lane || extent.byteLength > target.byteLength) return undefined;
    const { shape, byteLength } = extent;
    return valueHandle(createTensorValue(lane.at(target.byteOffset), byteLength, shape, port.elementType));
  }

  #releaseInputs(): void {
    for (const { value, block } of this.inputs) {
      releaseValue(value);
      block?.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.#releaseInputs();
    this.targets.splice(0).forEach(releaseValue);
    this.#block.dispose();
  }
}

function outside(what: string, { place, byteOffset, byteLength }: TensorDescription): RangeError {
  const message =
    `Cannot use ${what}: bytes of the client's own memory wanted, place ${place}, offset ${byteOffset} and ` +
    `length ${byteLength} found`;
  return rangeError("OUT_OF_RANGE", message);
}

/** @throws {RangeError} unless the bytes are those of the dtype and shape */
function checkExtent(name: string, { elementType, shape, byteLength }: TensorDescription): void {
  const elementBytes = elementByteLength(dtypeOfOnnx(elementType) ?? "string");
  const needed = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, elementBytes);
  if (needed === byteLength) return;
  throw rangeError("INVALID_LENGTH", `Cannot use "${name}": ${needed} bytes wanted for its shape, ${byteLength} found`);
}
