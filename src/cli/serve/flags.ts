import { InvalidArgumentError } from "commander";
import { parseDuration } from "../bench/units.ts";
import { parseSize } from "../prepare/units.ts";

/** The options of `coload serve`. */
export interface Flags {
  readonly socket?: string;
  readonly config?: string;
  readonly maxBatch?: number;
  readonly queueDelay?: number;
  readonly queueSize?: number;
  readonly queueTimeout?: number;
  readonly ttl?: number;
  readonly http?: string;
  readonly serverName?: string;
  readonly tokenFile?: string;
  readonly allowHost?: readonly string[];
  readonly allowOrigin?: readonly string[];
  readonly allowClientShm?: boolean;
  readonly allowRepositoryControl?: boolean;
  readonly maxBody?: number;
  readonly executors?: number;
  readonly maxMemory?: number;
  /** By the model's name, outputs by the names of the inputs that they are the next values of. */
  readonly state?: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly shareWeights?: "auto" | "mapped" | "prepacked" | "off";
  readonly warmup: boolean;
  readonly versionOf?: ReadonlyMap<string, string>;
  readonly restart: boolean;
  readonly ifAbsent?: boolean;
  readonly json?: boolean;
}

/** A text that says something. */
export function something(text: string): string {
  if (text === "") throw new InvalidArgumentError("Something wanted.");
  return text;
}

/** A text that says something, added to those before. */
export function another(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, something(text)];
}

/** A whole number from 1 on. */
export function count(most: number): (text: string) => number {
  return (text) => {
    if (/^[1-9][0-9]{0,9}$/.test(text) && Number(text) <= most) return Number(text);
    throw new InvalidArgumentError(`A whole number from 1 to ${most} wanted.`);
  };
}

/** Milliseconds, of a number alone or with a unit. */
export function milliseconds(least: number, most: number): (text: string) => number {
  return (text) => {
    const ms = /^[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) : parseDuration(text);
    if (ms !== undefined && ms >= least && ms <= most) return ms;
    throw new InvalidArgumentError("Milliseconds, or a time such as 5ms or 2s, wanted.");
  };
}

/** Milliseconds of `10m`, or -1. */
export function ttl(text: string): number {
  const ms = text === "-1" ? -1 : parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("A time such as 10m, or -1 for ever, wanted.");
  return ms;
}

/** Bytes of `2GB`. */
export function size(text: string): number {
  const bytes = parseSize(text);
  if (!bytes) throw new InvalidArgumentError("A size such as 2GB or 500MB wanted.");
  return Math.floor(bytes);
}

/** `model:input=output`, added to those before. */
export function state(text: string, before: Flags["state"] = new Map()): NonNullable<Flags["state"]> {
  const [, model, input, output] = /^([^:]+):([^=]+)=(.+)$/.exec(text) ?? [];
  if (model === undefined) throw new InvalidArgumentError("A model, an input and an output wanted: vad:state=stateN.");
  const known = before.get(model) ?? {};
  if (Object.hasOwn(known, input!)) throw new InvalidArgumentError(`"${input}" of "${model}" is given twice.`);
  return new Map([...before, [model, { ...known, [input!]: output! }]]);
}

/** `model=version`, added to those before. */
export function version(text: string, before: Flags["versionOf"] = new Map()): NonNullable<Flags["versionOf"]> {
  const [, model, found] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (model === undefined) throw new InvalidArgumentError("A model and its version wanted, such as vad=2.");
  if (before.has(model)) throw new InvalidArgumentError(`The version of "${model}" is given twice.`);
  return new Map([...before, [model, found!]]);
}
