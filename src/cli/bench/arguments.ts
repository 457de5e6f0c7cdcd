import { InvalidArgumentError } from "commander";
import { parseDuration } from "./units.ts";

const MOST = 2 ** 31 - 1;
const SIZE = "(0|[1-9][0-9]{0,9})";

function wanted(what: string): InvalidArgumentError {
  return new InvalidArgumentError(`${what} wanted.`);
}

/** A whole number from 1 on. */
export function count(text: string): number {
  return countTo(MOST, text);
}

/** Processes: a whole number from 1 on. */
export function clients(text: string): number {
  return countTo(1000, text);
}

function countTo(most: number, text: string): number {
  if (!/^[1-9][0-9]{0,9}$/.test(text) || Number(text) > most) throw wanted(`A whole number from 1 to ${most}`);
  return Number(text);
}

/** Such as `1,4,16`. */
export function levels(text: string): readonly number[] {
  const most = 100_000, found = text.split(",");
  if (found.every((level) => /^[1-9][0-9]{0,5}$/.test(level) && Number(level) <= most)) return found.map(Number);
  throw wanted(`Whole numbers from 1 to ${most}, such as 1,4,16,`);
}

/** Milliseconds of `10s`; longer than nothing. */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (!ms) throw wanted("A time longer than nothing, such as 10s, 500ms or 1m,");
  return ms;
}

/** Milliseconds of `2s`, or of `0`. */
export function durationOrNone(text: string): number {
  const ms = text === "0" ? 0 : parseDuration(text);
  if (ms === undefined) throw wanted("A time, such as 2s or 500ms, or 0");
  return ms;
}

/** A second's requests: `500`, `0.5` or `500/s`. */
export function rate(text: string): number {
  const [, number] = /^([0-9]+(?:\.[0-9]+)?)(?:\/s)?$/.exec(text) ?? [];
  if (!(Number(number) > 0 && Number(number) <= 1e6)) throw wanted("Requests a second, up to 1000000, such as 500/s,");
  return Number(number);
}

/** `name=640`, added to those before. */
export function dimension(
  text: string,
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const [, name, size] = /^(.+)=([1-9][0-9]{0,9})$/.exec(text) ?? [];
  if (name === undefined || Number(size) > MOST) throw wanted("A name and a size from 1 on, such as height=640,");
  return { ...before, [name]: Number(size) };
}

/** `name=1x3x224x224`, added to those before. */
export function shape(
  text: string,
  before: Readonly<Record<string, readonly number[]>> = {},
): Readonly<Record<string, readonly number[]>> {
  const [, name, sizes] = new RegExp(`^(.+)=(${SIZE}(?:x${SIZE})*)$`).exec(text) ?? [];
  if (name === undefined) throw wanted("A name and sizes, such as image=1x3x224x224,");
  return { ...before, [name]: sizes!.split("x").map(Number) };
}

/** `name=16000`, added to those before. */
export function value(text: string, before: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const [, name, number] = /^(.+)=(-?[0-9]+(?:\.[0-9]+)?)$/.exec(text) ?? [];
  if (name === undefined) throw wanted("A name and a number, such as sr=16000,");
  return { ...before, [name]: Number(number) };
}

/** A text that says something. */
export function something(text: string): string {
  if (text === "") throw wanted("Something");
  return text;
}
