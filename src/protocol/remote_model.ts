import type { ValueInfo } from "../ort/type_info.ts";
import { violation } from "./frames.ts";
import { describePort, outputIndex, type Port } from "../session/port.ts";

/** A worker's model, as it tells of it. */
export interface ModelDescription {
  /** Its number among the worker's models. */
  readonly index: number;
  readonly name: string;
  readonly version: string;
  /** Changes when its inputs and outputs do, as another file is loaded. */
  readonly revision: number;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Initializers that a feed may replace. */
  readonly overridable: readonly ValueInfo[];
  /** Inputs whose values the worker keeps from run to run of a sequence. */
  readonly state: readonly string[];
}

const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

function isValueInfo(found: unknown): boolean {
  const { name, kind, dtype, shape } = (found ?? {}) as Record<string, unknown>;
  const isSize = (size: unknown): boolean => isText(size) || Number.isSafeInteger(size);
  return isText(name) && isText(kind) && isText(dtype) && Array.isArray(shape) && shape.every(isSize);
}

/** Takes a description from elsewhere. @throws {WorkerError} WORKER_PROTOCOL for what is none */
export function checkDescription(found: unknown): ModelDescription {
  const given = (found ?? {}) as Record<keyof ModelDescription, unknown>;
  const isFine = isCount(given.index) && isText(given.name) && isText(given.version) && isCount(given.revision) &&
    [given.inputs, given.outputs, given.overridable].every((infos) =>
      Array.isArray(infos) && infos.every(isValueInfo)
    ) &&
    Array.isArray(given.state) && given.state.every(isText);
  if (!isFine) throw violation("a model that is described as nothing can be");
  return given as unknown as ModelDescription;
}

/** What feeds and outputs of a worker's model are checked against. */
export class RemoteModel {
  readonly description: ModelDescription;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly overridable: readonly Port[];
  /** How many outputs a run gives that names none. */
  readonly fetchable: number;
  readonly #outputIndex: ReadonlyMap<string, number>;
  /** By output, the most bytes that it has had: for as many there will be room. */
  readonly #roomFor: number[] = [];

  constructor(description: ModelDescription) {
    const ports = (infos: readonly ValueInfo[]): Port[] => infos.map((info) => describePort(info, 0n));
    this.description = description;
    this.inputs = ports(description.inputs);
    this.outputs = ports(description.outputs);
    this.overridable = ports(description.overridable);
    this.fetchable = this.outputs.filter(({ fetchable }) => fetchable).length;
    this.#outputIndex = new Map(this.outputs.map(({ name }, i) => [name, i]));
  }

  /** The output of this name. @throws {TypeError} UNKNOWN_OUTPUT; NOT_A_TENSOR */
  outputPort(name: string): number {
    return outputIndex(this.outputs, this.#outputIndex.get(name), name);
  }

  /** How many bytes to have room for in an output. */
  roomFor(index: number): number {
    return this.outputs[index]!.fixed?.byteLength ?? this.#roomFor[index] ?? FIRST_ROOM;
  }

  /** Notes how many bytes an output had. */
  noteSize(index: number, byteLength: number): void {
    const room = this.#roomFor[index] ?? FIRST_ROOM;
    if (byteLength > room) this.#roomFor[index] = Math.ceil(byteLength * 1.25 / 4096) * 4096;
  }
}

const FIRST_ROOM = 4096;
