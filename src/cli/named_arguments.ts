import { InvalidArgumentError } from "commander";

/** Adds what is said of a name. */
export function add<T>(before: ReadonlyMap<string, T> | undefined, name: string, value: T): ReadonlyMap<string, T> {
  if (before?.has(name)) throw new InvalidArgumentError(`"${name}" is given twice.`);
  return new Map([...before ?? [], [name, value]]);
}

/** Takes `name=value` apart. */
export function split(text: string, wanted: string): [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError(wanted);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `name=text`, which may be repeated for other names. */
export function named(
  wanted: string,
): (text: string, before?: ReadonlyMap<string, string>) => ReadonlyMap<string, string> {
  return (text, before) => add(before, ...split(text, wanted));
}

/** `name=size`. */
export function dimension(text: string, before?: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const wanted = "A name and a size wanted, such as height=640.", [name, size] = split(text, wanted);
  return add(before, name, sizes(size, wanted, 1)[0]!);
}

/** `name=1,3,224,224`. */
export function shape(
  text: string,
  before?: ReadonlyMap<string, readonly number[]>,
): ReadonlyMap<string, readonly number[]> {
  const wanted = "A name and sizes wanted, such as image=1,3,224,224.", [name, list] = split(text, wanted);
  return add(before, name, sizes(list, wanted));
}

function sizes(text: string, wanted: string, count?: number): number[] {
  const found = text.split(",");
  if ((count !== undefined && found.length !== count) || !found.every((size) => /^[0-9]{1,15}$/.test(size))) {
    throw new InvalidArgumentError(wanted);
  }
  return found.map(Number);
}
