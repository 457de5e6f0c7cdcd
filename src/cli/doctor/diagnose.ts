import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import config from "../../../deno.json" with { type: "json" };
import { type Attempt, findOnnxRuntime, type FoundLibrary } from "../../../ffi/find_library.ts";
import { type Capabilities, capabilities, sweepSharedMemory } from "../../../mod.ts";
import type { LibraryError } from "../../errors.ts";
import { installCommand } from "../../ort/locate.ts";
import { sharedMemoryChecks } from "./shared_memory.ts";
import { weightsCheck } from "./weights.ts";

/** One thing that was looked into. */
export interface Check {
  readonly name: string;
  /** `slow` works, but not as well as it could; what is `missing` can be done without; `untried` may work. */
  readonly state: "works" | "slow" | "untried" | "missing" | "fails";
  /** What was found. */
  readonly says: string;
  /** What to do about it. */
  readonly mend?: string;
}

/** What `coload doctor --json` prints. */
export interface Report {
  readonly coload: string;
  readonly runtime: string;
  readonly platform: string;
  /** Whether nothing fails. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
  /** The library that is used, if one was found. */
  readonly library?: FoundLibrary & { readonly version?: string };
  /** Where the library was sought before it was found. */
  readonly tried: readonly Attempt[];
}

const EXECUTABLE_MEMORY =
  "let the process map executable memory: SELinux's execmem, a container's seccomp profile or a hardened kernel forbid it";

/** Provider libraries that are apart from onnxruntime's own, and belong beside it. */
const PROVIDER_LIBRARIES: Readonly<Record<string, string>> = {
  CUDAExecutionProvider: "libonnxruntime_providers_cuda.so",
  TensorrtExecutionProvider: "libonnxruntime_providers_tensorrt.so",
};

/**
 * Looks into all that Coload needs on this machine. It starts onnxruntime, and loads no model.
 *
 * @param options `sweep`: whether to remove first what dead processes left in shared memory
 */
export async function diagnose({ sweep }: { readonly sweep: boolean }): Promise<Report> {
  const swept = sweep ? sweepSharedMemory() : undefined;
  const { found, tried, given } = findOnnxRuntime();
  const able = await capabilities();
  const { library, problem, providers } = able;
  const onnxruntime = library === undefined
    ? [brokenLibrary(problem, found ?? given)]
    : [libraryCheck(library), ...pathChecks(able), ...providers.map((name) => providerCheck(name, library.path))];
  const shared = sharedMemoryChecks(able.sharedMemory, swept);
  const checks = [...onnxruntime, ...shared, await weightsCheck(library !== undefined), pythonCheck(able.python)];
  const used = library ?? found;
  return {
    coload: config.version,
    runtime: able.runtime,
    platform: `${process.platform}-${process.arch}`,
    ok: checks.every(({ state }) => state !== "fails"),
    checks,
    ...(used && { library: used }),
    tried,
  };
}

function libraryCheck({ path, version, how }: NonNullable<Capabilities["library"]>): Check {
  return { name: "library", state: "works", says: `onnxruntime ${version}, ${path} (${how})` };
}

function brokenLibrary(problem: LibraryError | undefined, at: { how: string } | undefined): Check {
  const named = at?.how.match(/environment variable (\w+)/)?.[1];
  const other = named === undefined ? "" : `change or unset ${named}, or `;
  const says = problem?.message.split("\n")[0] ?? "no onnxruntime library";
  return { name: "library", state: "fails", says, mend: `${other}fetch a library that works: ${installCommand()}` };
}

function pathChecks({ calls, threads }: Capabilities): Check[] {
  return [
    calls === "fast"
      ? { name: "calls", state: "works", says: "at C speed" }
      : { name: "calls", state: "slow", says: `microseconds each: ${calls}`, mend: EXECUTABLE_MEMORY },
    threads === "native"
      ? { name: "threads", state: "works", says: "native: loads and runs leave the event loop free" }
      : { name: "threads", state: "slow", says: `not native: ${threads}`, mend: EXECUTABLE_MEMORY },
  ];
}

function pythonCheck({ found, problem }: Capabilities["python"]): Check {
  if (found === undefined) {
    const says = "none that can be loaded; only @coload/onnx/python needs it";
    return { name: "python", state: "missing", says, mend: problem!.split("\n").slice(-1)[0]! };
  }
  const { version, executable, how } = found;
  return { name: "python", state: "works", says: `Python ${version}, ${executable} (${how})` };
}

function providerCheck(name: string, library: string): Check {
  if (name === "CPUExecutionProvider") return { name: "provider", state: "works", says: name };
  const needed = PROVIDER_LIBRARIES[name];
  if (needed === undefined || existsSync(path.join(path.dirname(library), needed))) {
    return { name: "provider", state: "untried", says: `${name}: built in; a session that asks for it tells` };
  }
  return {
    name: "provider",
    state: "missing",
    says: `${name}: built in, but ${needed} is not beside the library`,
    mend: "to use it, set COLOAD_ONNXRUNTIME to the library of a package that carries both",
  };
}
