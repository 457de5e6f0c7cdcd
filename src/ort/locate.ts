import { fileURLToPath } from "node:url";
import {
  type Attempt,
  findOnnxRuntime,
  type FindOptions,
  type FoundLibrary,
  LIBRARY_VARIABLES,
} from "../../ffi/find_library.ts";
import { LibraryError } from "../errors.ts";

/**
 * The command that fetches the library, as this runtime reaches Coload's command line: by name where Coload came from
 * a package registry of Deno's, else by where it lies, as such packages have no commands of their own on Bun.
 */
export function installCommand(): string {
  const url = new URL(import.meta.url);
  const main = new URL(url.pathname.endsWith(".ts") ? "../cli/main.ts" : "../cli/main.js", url);
  if ("Bun" in globalThis) return `bun run ${shown(main)} install`;
  const version = url.protocol === "https:" ? url.pathname.match(/^\/@coload\/onnx\/([^/]+)\//)?.[1] : undefined;
  return `deno run -A ${version === undefined ? shown(main) : `jsr:@coload/onnx@${version}/cli`} install`;
}

function shown(url: URL): string {
  const text = url.protocol === "file:" ? fileURLToPath(url) : url.href;
  return /^[\w@%+=:,./-]+$/.test(text) ? text : JSON.stringify(text);
}

/** What a search tried, a line for every rule and reason. */
export function describeAttempts(tried: readonly Attempt[]): string[] {
  const lines = new Map<string, string[]>();
  for (const { how, path, reason } of tried) {
    const key = `${how}: ${reason}`;
    lines.set(key, [...(lines.get(key) ?? []), ...(path === undefined ? [] : [path])]);
  }
  return [...lines].map(([line, paths]) => paths.length === 0 ? line : `${line}: ${paths.join(", ")}`);
}

/**
 * Finds the onnxruntime library without opening it.
 *
 * @throws {LibraryError} `LIBRARY_NOT_FOUND` when there is none, with all that was tried and what mends it.
 */
export function locateOnnxRuntime(options: FindOptions = {}): FoundLibrary {
  const { found, tried, given } = findOnnxRuntime(options);
  if (found !== undefined) return found;
  throw new LibraryError("LIBRARY_NOT_FOUND", given === undefined ? foundNowhere(tried) : notAsGiven(given));
}

function notAsGiven({ how, path, reason }: Attempt): string {
  return `Cannot find the onnxruntime library where the ${how} says, ${path}: ${reason}\n` +
    "Correct it, or give none, and it is searched for";
}

function foundNowhere(tried: readonly Attempt[]): string {
  const permissions = [...new Set(tried.flatMap(({ reason }) => reason.match(/^needs (--allow-\w+)$/)?.[1] ?? []))];
  return [
    "Cannot find the onnxruntime library: it is in none of these places",
    ...describeAttempts(tried).map((line) => `  - ${line}`),
    ...(permissions.length === 0 ? [] : [`Let Deno look in all of them: ${permissions.join(" ")}`]),
    `Install it: ${installCommand()}`,
    `Or name the one you have: ${LIBRARY_VARIABLES[0]}=/path/to/the/library, or configure({ library })`,
  ].join("\n");
}
