import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { variable } from "./cache_directory.ts";
import {
  bunCache,
  denoCache,
  installed,
  npmPackage,
  pythonPackage,
  sherpaPackage,
  systemDirectories,
} from "./library_places.ts";

/** What a search may be told. */
export interface FindOptions {
  /** The library, or the folder that holds it; then nowhere else is searched. */
  readonly library?: string;
  /** Coload's cache, if not in its usual place. */
  readonly cacheDir?: string;
}

/** A place that was searched in vain. */
export interface Attempt {
  /** Whose place it is, such as `npm:onnxruntime-node`. */
  readonly how: string;
  readonly path?: string;
  /** Why nothing was found there; where a permission is missing, the flag that gives it. */
  readonly reason: string;
}

/** A library that was found, and by which rule. */
export interface FoundLibrary {
  readonly path: string;
  readonly how: string;
}

/** The outcome of a search. */
export interface Search {
  readonly found?: FoundLibrary;
  /** What was searched before, in order. */
  readonly tried: readonly Attempt[];
  /** Set when the search ended because a path that was given is no library. */
  readonly given?: Attempt;
}

/** The environment variables that name the library, in their order: Coload's own, and the one other bindings read. */
export const LIBRARY_VARIABLES = ["COLOAD_ONNXRUNTIME", "ORT_DYLIB_PATH"] as const;

interface Rule {
  readonly how: string;
  /** Files, or folders that may hold the library. */
  paths(options: FindOptions): Iterable<string>;
  /** The reason when there are no paths. */
  readonly none: string;
  /** Whether the search ends here when there are paths. */
  readonly final?: boolean;
}

const UNKNOWN = "the environment does not tell where it is";

const RULES: readonly Rule[] = [
  { how: "option library", paths: ({ library }) => given(library), none: "not given", final: true },
  ...LIBRARY_VARIABLES.map((name): Rule => ({
    how: `environment variable ${name}`,
    paths: () => given(variable(name)),
    none: "not set",
    final: true,
  })),
  { how: "coload install", paths: ({ cacheDir }) => installed(cacheDir), none: UNKNOWN },
  { how: "npm:onnxruntime-node", paths: npmPackage, none: "nowhere to look" },
  { how: "npm:onnxruntime-node in Deno's cache", paths: denoCache, none: UNKNOWN },
  { how: "npm:onnxruntime-node in Bun's cache", paths: bunCache, none: UNKNOWN },
  { how: "npm:sherpa-onnx", paths: sherpaPackage, none: "nowhere to look" },
  { how: "Python package onnxruntime", paths: pythonPackage, none: "no Python found" },
  { how: "system", paths: systemDirectories, none: "no folders to look in" },
];

/** The names an onnxruntime has on this system, with and without a version. */
const FILE_NAME: RegExp = process.platform === "win32"
  ? /^onnxruntime\.dll$/
  : process.platform === "darwin"
  ? /^libonnxruntime(\.\d+)*\.dylib$/
  : /^libonnxruntime\.so(\.\d+)*$/;

/**
 * Searches for an onnxruntime library: the option, the environment, Coload's cache, npm packages, Python's packages,
 * the system. A path that was given is the only one looked at. It opens no library and throws nothing.
 */
export function findOnnxRuntime(options: FindOptions = {}): Search {
  const tried: Attempt[] = [];
  for (const { how, paths, none, final } of RULES) {
    let empty = true;
    try {
      for (const place of paths(options)) {
        empty = false;
        const { path, reason } = libraryAt(place, final);
        if (path !== undefined) return { found: { path, how }, tried };
        tried.push({ how, path: place, reason });
      }
      if (empty) tried.push({ how, reason: none });
    } catch (error) {
      tried.push({ how, reason: reasonOf(error) });
    }
    if (final && !empty) return { tried, given: tried.at(-1)! };
  }
  return { tried };
}

function given(library: string | undefined): string[] {
  if (library === undefined) return [];
  return [library.startsWith("file:") ? fileURLToPath(library) : path.resolve(library)];
}

/** The library that is a path or lies in it. A path that must not be looked at is taken as it is, if `trusted`. */
function libraryAt(
  place: string,
  trusted = false,
): { path: string; reason?: never } | { path?: never; reason: string } {
  try {
    if (fs.statSync(place).isFile()) return { path: place };
    const files = fs.readdirSync(place).filter((name) => FILE_NAME.test(name)).sort();
    const file = files.map((name) => path.join(place, name)).find((file) => fs.existsSync(file));
    return file === undefined ? { reason: "holds no onnxruntime library" } : { path: file };
  } catch (error) {
    return trusted && isDenied(error) ? { path: place } : { reason: reasonOf(error) };
  }
}

/** Whether Deno's permissions forbid it. */
function isDenied(error: unknown): boolean {
  return (error as Error).name === "NotCapable";
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (isDenied(error)) return `needs ${message.match(/--allow-\w+/)?.[0] ?? message}`;
  return code === "ENOENT" || code === "ENOTDIR" ? "no such file or folder" : message;
}
