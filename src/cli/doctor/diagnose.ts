import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import config from "../../../deno.json" with { type: "json" };
import { type Attempt, findOnnxRuntime, type FoundLibrary } from "../../../ffi/find_library.ts";
import { ffi } from "../../../ffi/mod.ts";
import { type Capabilities, capabilities } from "../../../mod.ts";
import { NativeError } from "../../errors.ts";
import { installCommand } from "../../ort/locate.ts";

/** One thing that was looked into. */
export interface Check {
  readonly name: string;
  /** `slow` works, but not as well as it could. */
  readonly state: "works" | "slow" | "fails";
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

/** Looks into all that Coload needs on this machine. It starts onnxruntime, and loads no model. */
export async function diagnose(): Promise<Report> {
  const { found, tried, given } = findOnnxRuntime();
  const about = {
    coload: config.version,
    runtime: ffi.runtime,
    platform: `${process.platform}-${process.arch}`,
    tried,
  };
  try {
    const able = await capabilities();
    const checks = [libraryCheck(able), ...pathChecks(able), ...able.providers.map((p) => providerCheck(p, able))];
    return { ...about, ok: true, checks, library: able.library };
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    const check = brokenLibrary(error, found ?? given);
    return { ...about, ok: false, checks: [check], ...(found && { library: found }) };
  }
}

function libraryCheck({ library: { path, version, how } }: Capabilities): Check {
  return { name: "library", state: "works", says: `onnxruntime ${version}, ${path} (${how})` };
}

function brokenLibrary({ message }: NativeError, at: { how: string } | undefined): Check {
  const named = at?.how.match(/environment variable (\w+)/)?.[1];
  const other = named === undefined ? "" : `change or unset ${named}, or `;
  const mend = `${other}fetch a library that works: ${installCommand()}`;
  return { name: "library", state: "fails", says: message.split("\n")[0]!, mend };
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

function providerCheck(name: string, { library }: Capabilities): Check {
  const needed = PROVIDER_LIBRARIES[name];
  if (needed === undefined || existsSync(path.join(path.dirname(library.path), needed))) {
    return { name: "provider", state: "works", says: name };
  }
  return {
    name: "provider",
    state: "slow",
    says: `${name}: built in, but ${needed} is not beside the library`,
    mend: `to use it, set COLOAD_ONNXRUNTIME to the library of a package that carries ${needed}`,
  };
}
