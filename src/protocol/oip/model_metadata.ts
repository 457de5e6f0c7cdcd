import type { ValueInfo } from "../../ort/type_info.ts";
import { describePort, type Port } from "../../session/port.ts";
import { violation } from "../frames.ts";
import { MAX_RANK } from "../limits.ts";
import type { ModelDescription } from "../remote_model.ts";
import { datatypeOf, knownDatatype } from "./datatypes.ts";

/** An input or output, as metadata tell of it. */
export interface OipPort {
  readonly name: string;
  readonly datatype: string;
  /** -1 for a dimension that is open. */
  readonly shape: readonly number[];
}

/** What a server tells of a model. */
export interface OipModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly OipPort[];
  readonly outputs: readonly OipPort[];
}

/** The same as Coload tells it. */
export interface DecodedModelMetadata extends Omit<OipModelMetadata, "inputs" | "outputs"> {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

const PLATFORM = "onnxruntime_onnx";

function encodePorts(infos: readonly ValueInfo[]): OipPort[] {
  const ports: readonly Port[] = infos.map((info) => describePort(info, 0n));
  return ports.flatMap(({ name, dtype, fetchable, info }) => {
    if (!fetchable) return [];
    const shape = info.shape.map((size) => typeof size === "number" ? size : -1);
    return [{ name, datatype: datatypeOf(dtype!), shape }];
  });
}

/** What to tell of a model; of its inputs and outputs those that are tensors, or may be. */
export function encodeModelMetadata({ name, version, inputs, outputs }: ModelDescription): OipModelMetadata {
  return {
    name,
    versions: [version],
    platform: PLATFORM,
    inputs: encodePorts(inputs),
    outputs: encodePorts(outputs),
  };
}

const isText = (value: unknown): value is string => typeof value === "string";
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= -1;

function decodePorts(kind: string, found: unknown, nextName: () => string): ValueInfo[] {
  if (!Array.isArray(found)) throw violation(`metadata of a model without ${kind}`);
  const names = new Set<string>();
  return found.map((port: unknown) => {
    const { name, datatype, shape } = (port ?? {}) as Partial<Record<keyof OipPort, unknown>>;
    if (
      !isText(name) || !isText(datatype) || !Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isSize)
    ) {
      throw violation(`metadata of a model with ${kind} that are described as nothing can be`);
    }
    if (names.has(name)) throw violation(`metadata of a model with two ${kind} "${name}"`);
    names.add(name);
    const sizes = Object.freeze(shape.map((size) => size === -1 ? nextName() : size));
    return { name, kind: "tensor", dtype: knownDatatype(datatype) ?? datatype, shape: sizes };
  });
}

/**
 * Takes what a server tells of a model. A dimension that is open gets a name of its own; a datatype that Coload does
 * not have stays as it is.
 *
 * @throws {WorkerError} WORKER_PROTOCOL for what is none
 */
export function decodeModelMetadata(found: unknown): DecodedModelMetadata {
  const { name, versions, platform, inputs, outputs } = (found ?? {}) as Partial<
    Record<keyof OipModelMetadata, unknown>
  >;
  let named = 0;
  const nextName = (): string => `dim${named++}`;
  if (!isText(name)) throw violation("metadata of a model without a name");
  const known = versions ?? [], origin = platform ?? "";
  if (!Array.isArray(known) || !known.every(isText)) throw violation("metadata of a model with versions that are none");
  if (!isText(origin)) throw violation("metadata of a model with a platform that is no text");
  return {
    name,
    versions: known,
    platform: origin,
    inputs: decodePorts("inputs", inputs, nextName),
    outputs: decodePorts("outputs", outputs, nextName),
  };
}
