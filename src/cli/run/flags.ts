import { extname } from "node:path";
import { InvalidArgumentError } from "commander";
import { add, split } from "../named_arguments.ts";

/** What files outputs are written to. */
export const OUTPUT_EXTENSIONS: readonly string[] = [".npy", ".json"];

/** The options of `coload run`. */
export interface Flags {
  /** By the input's name, where its elements come from. */
  readonly input?: ReadonlyMap<string, string>;
  /** By the output's name, the file it is written to, if any. */
  readonly output?: ReadonlyMap<string, string | undefined>;
  readonly dim?: ReadonlyMap<string, number>;
  readonly shape?: ReadonlyMap<string, readonly number[]>;
  /** By the input's name, the output that it is at the next window. */
  readonly state?: ReadonlyMap<string, string>;
  readonly window?: number;
  readonly hop?: number;
  readonly rate?: number;
  /** From 1 on. */
  readonly channel?: number;
  readonly layout?: "NCHW" | "NHWC";
  readonly resize: "stretch" | "crop" | "pad";
  readonly scale: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly bgr?: boolean;
  readonly cast?: boolean;
  readonly top?: number;
  readonly force?: boolean;
  readonly describe?: boolean;
  readonly json?: boolean;
  readonly endpoint?: string;
  readonly modelVersion?: string;
}

/** `name` or `name=file`. */
export function output(text: string, before?: Flags["output"]): ReadonlyMap<string, string | undefined> {
  if (!text.includes("=") && text !== "") return add(before, text, undefined);
  const [name, file] = split(text, "A name, or a name and a file wanted, such as scores=scores.npy.");
  if (!OUTPUT_EXTENSIONS.includes(extname(file).toLowerCase())) {
    throw new InvalidArgumentError(`A file that ends in ${OUTPUT_EXTENSIONS.join(" or ")} wanted.`);
  }
  if ([...before?.values() ?? []].includes(file)) throw new InvalidArgumentError("Two outputs go to this file.");
  return add(before, name, file);
}

/** A whole number from 1 on. */
export function positive(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("A whole number from 1 on wanted.");
  return Number(text);
}

/** A number; `numbers` takes several. */
export function number(text: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError("A number wanted.");
  return value;
}

/** One number for all channels of a picture, or one for each. */
export function numbers(text: string): readonly number[] {
  const found = text.split(",").map(number);
  if (found.length !== 1 && found.length !== 3) throw new InvalidArgumentError("One number or three wanted.");
  return found;
}

/** The same without zeros, which nothing can be divided by. */
export function divisors(text: string): readonly number[] {
  const found = numbers(text);
  if (found.includes(0)) throw new InvalidArgumentError("Nothing can be divided by 0.");
  return found;
}
