/** What the command line of these benches says. */
import process from "node:process";

/** What follows `--name=`; empty where nothing does. */
export function option(name: string): string | undefined {
  const found = process.argv.find((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  return found?.slice(`--${name}=`.length);
}

/** The number that follows `--name=`. */
export function numberOption(name: string, otherwise: number): number {
  const text = option(name), found = Number(text ?? otherwise);
  if (text === "" || !(found > 0)) throw new Error(`--${name}: a number above 0 wanted, ${text} found`);
  return found;
}

/** What the list after `--name=` names; all where there is none. */
export function chosen<T extends string>(name: string, all: readonly T[]): readonly T[] {
  const wanted = option(name)?.split(","), unknown = wanted?.find((one) => !all.includes(one as T));
  if (unknown !== undefined) throw new Error(`--${name}: ${all.join(", ")} wanted, ${unknown} found`);
  return all.filter((one) => wanted?.includes(one) ?? true);
}
