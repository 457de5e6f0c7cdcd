import { InvalidArgumentError } from "commander";
import { add, split } from "../named_arguments.ts";
import { parseDuration } from "./units.ts";

const MOST = 2 ** 31 - 1;

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

/** `name=16000`. */
export function value(text: string, before?: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const what = "A name and a number wanted, such as sr=16000.", [name, number] = split(text, what);
  if (!/^-?[0-9]+(\.[0-9]+)?$/.test(number)) throw new InvalidArgumentError(what);
  return add(before, name, Number(number));
}

/** A text that says something. */
export function something(text: string): string {
  if (text === "") throw wanted("Something");
  return text;
}
