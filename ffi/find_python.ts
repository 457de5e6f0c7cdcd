import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { variable } from "./cache_directory.ts";
import type { Attempt } from "./find_library.ts";
import { ffi } from "./mod.ts";

/** What a search for Python may be told. */
export interface FindPythonOptions {
  /** The interpreter, or the folder of a virtual environment; then no other is looked at. */
  readonly executable?: string;
  /** libpython, where it is not where the interpreter says. */
  readonly library?: string;
}

/** A Python that can be loaded. */
export interface FoundPython {
  /** The interpreter, which says where Python's modules lie. */
  readonly executable: string;
  /** Its libpython. */
  readonly library: string;
  /** Such as 3.12.1. */
  readonly version: string;
  /** By which rule it was found. */
  readonly how: string;
}

/** The outcome of a search. */
export interface PythonSearch {
  readonly found?: FoundPython;
  /** What was looked at before, in order. */
  readonly tried: readonly Attempt[];
  /** Set when the search ended because what was given cannot be used. */
  readonly given?: Attempt;
}

/** The environment variable that names the interpreter or the virtual environment. */
export const PYTHON_VARIABLE = "COLOAD_PYTHON";
/** The oldest Python that has the functions that are called. */
export const OLDEST_PYTHON: readonly [major: number, minor: number] = [3, 9];

const WATCHDOG_MS = 20_000;
/** For any Python there is, also one that is too old to be used. */
const QUESTION = `
import json, sys
try:
    from sysconfig import get_config_var as var
except ImportError:
    var = lambda name: None
names = ["LIBDIR", "LIBPL", "MULTIARCH", "INSTSONAME", "LDLIBRARY", "Py_GIL_DISABLED"]
told = dict((name, var(name)) for name in names)
print(json.dumps(dict(told, executable=sys.executable, prefix=getattr(sys, "base_prefix", sys.prefix),
    version=list(sys.version_info[:3]))))
`;

/** What an interpreter says of itself. */
interface Told {
  readonly executable: string;
  readonly prefix: string;
  readonly version: readonly [number, number, number];
  readonly LIBDIR: string | null;
  readonly LIBPL: string | null;
  readonly MULTIARCH: string | null;
  readonly INSTSONAME: string | null;
  readonly LDLIBRARY: string | null;
  readonly Py_GIL_DISABLED: number | null;
}

interface Rule {
  readonly how: string;
  readonly program: () => string | undefined;
  /** The reason when there is none. */
  readonly none: string;
  /** Whether the search ends here when there is one. */
  readonly final?: boolean;
}

function rules({ executable }: FindPythonOptions): readonly Rule[] {
  const inFolder = (name: string) => () => {
    const folder = variable(name);
    return folder && path.join(folder, "bin", "python");
  };
  return [
    { how: "option executable", program: () => executable, none: "not given", final: true },
    {
      how: `environment variable ${PYTHON_VARIABLE}`,
      program: () => variable(PYTHON_VARIABLE),
      none: "not set",
      final: true,
    },
    { how: "virtual environment of VIRTUAL_ENV", program: inFolder("VIRTUAL_ENV"), none: "not set" },
    { how: "environment of CONDA_PREFIX", program: inFolder("CONDA_PREFIX"), none: "not set" },
    { how: "python3 on PATH", program: () => "python3", none: "" },
  ];
}

/**
 * Searches for a Python that can be loaded: the option, the environment, PATH. It runs interpreters, which takes tens
 * of milliseconds, opens no library and throws nothing.
 */
export function findPython(options: FindPythonOptions = {}): PythonSearch {
  const tried: Attempt[] = [];
  for (const { how, program, none, final } of rules(options)) {
    let named: string | undefined;
    try {
      named = program();
      if (named === undefined) {
        tried.push({ how, reason: none });
        continue;
      }
      const told = ask(interpreterIn(named)), reason = refusal(told), library = reason ?? libraryOf(told, options);
      if (reason === undefined && typeof library === "object") {
        return {
          found: { executable: told.executable, library: library.path, version: told.version.join("."), how },
          tried,
        };
      }
      tried.push({ how, path: named, reason: library as string });
    } catch (error) {
      tried.push({ how, ...(named !== undefined && { path: named }), reason: reasonOf(error) });
    }
    if (final) return { tried, given: tried.at(-1)! };
  }
  return { tried };
}

/** Why a search has found nothing that can be loaded: all that was tried, and what mends it. */
export function whyNoPython({ tried, given }: PythonSearch): string {
  if (given !== undefined) {
    return `Cannot start the Python that the ${given.how} names, ${given.path}: ${given.reason}`;
  }
  const line = ({ how, path, reason }: Attempt) => `  - ${how}${path === undefined ? "" : ` (${path})`}: ${reason}`;
  return [
    "Cannot start Python: there is none that can be loaded",
    ...tried.map(line),
    `Name one: ${PYTHON_VARIABLE}=/path/to/python or a virtual environment, or Python.open({ executable })`,
  ].join("\n");
}

/** The interpreter of a virtual environment's folder, or what was named. */
function interpreterIn(named: string): string {
  const isPath = named.includes("/"), isFolder = fs.statSync(named, { throwIfNoEntry: isPath })?.isDirectory();
  if (isFolder) return path.join(path.resolve(named), "bin", "python");
  return isPath ? path.resolve(named) : named; // to be found on PATH
}

function ask(program: string): Told {
  if (!ffi.mayRun(program)) throw new Error("needs --allow-run");
  const { error, status, signal, stdout, stderr } = spawnSync(program, ["-S", "-c", QUESTION], {
    encoding: "utf8",
    timeout: WATCHDOG_MS,
  });
  if (error) throw error;
  if (status !== 0) {
    const words = stderr.trim().split("\n").at(-1);
    throw new Error(words?.slice(0, 200) || `it ended with ${status ?? signal}`);
  }
  try {
    const told = JSON.parse(stdout.trim().split("\n").at(-1)!) as Told;
    if (Array.isArray(told.version) && typeof told.executable === "string") return told;
  } catch {
    // as below
  }
  throw new Error(`it is no Python: it says ${JSON.stringify(stdout.slice(0, 80))}`);
}

function refusal({ version: [major, minor], version, Py_GIL_DISABLED }: Told): string | undefined {
  const [oldestMajor, oldest] = OLDEST_PYTHON;
  if (major < oldestMajor || (major === oldestMajor && minor < oldest)) {
    return `it is Python ${version.join(".")}: ${OLDEST_PYTHON.join(".")} or later wanted`;
  }
  return Py_GIL_DISABLED ? "it is a free-threaded Python, which is not supported" : undefined;
}

/** The library of an interpreter, or why there is none. */
function libraryOf(told: Told, { library }: FindPythonOptions): { readonly path: string } | string {
  const { version: [major, minor], prefix, LIBDIR, LIBPL, MULTIARCH, INSTSONAME, LDLIBRARY } = told;
  const isShared = (name: string | null) => name !== null && /\.(so(\.[\d.]+)?|dylib)$/.test(name);
  if (library !== undefined) {
    const version = /libpython(\d+\.\d+)/.exec(path.basename(library))?.[1];
    if (!fs.statSync(library).isFile()) return `the library given for it, ${library}, is no file`;
    return version === undefined || version === `${major}.${minor}`
      ? { path: path.resolve(library) }
      : `it is Python ${major}.${minor}, and the library given for it is ${version}'s: ${library}`;
  }
  const usual = `libpython${major}.${minor}.so`;
  const names = new Set([INSTSONAME, LDLIBRARY, `${usual}.1.0`, usual].filter(isShared) as string[]);
  const folders = [LIBDIR, path.join(prefix, "lib"), LIBDIR && MULTIARCH && path.join(LIBDIR, MULTIARCH), LIBPL];
  const places = folders.filter(Boolean).flatMap((folder) => [...names].map((name) => path.join(folder!, name)));
  const found = places.find((place) => fs.existsSync(place));
  if (found !== undefined) return { path: found };
  const built = isShared(INSTSONAME) ? "" : ", as it is linked statically (built without --enable-shared)";
  return `Python ${told.version.join(".")} without a shared library${built}: none of ${
    [...new Set(places)].join(", ")
  }`;
}

function reasonOf(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (name === "NotCapable") return `needs ${message.match(/--allow-\w+/)?.[0] ?? message}`;
  if (code === "ENOENT" || code === "ENOTDIR") return "no such program";
  return code === "EACCES" ? "it may not be run" : message;
}
