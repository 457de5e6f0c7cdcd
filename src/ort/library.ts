import { cstring } from "../../ffi/cstring.ts";
import { realPath } from "../../ffi/files.ts";
import { functionPointer, libc } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { mapMemory, unmapMemory } from "../../ffi/native_memory.ts";
import { apiBase, type LinkedOnnxRuntime, linkOnnxRuntime, MINIMUM_API, versionString } from "../../ffi/onnxruntime.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { LibraryError } from "../errors.ts";
import { configuration } from "./configuration.ts";
import { locateOnnxRuntime } from "./locate.ts";

/** An open onnxruntime: where it lies, what it is, how it was found. */
export interface OnnxRuntimeLibrary extends LinkedOnnxRuntime {
  readonly path: string;
  readonly version: string;
  readonly how: string;
  /** Paths of other onnxruntimes that this process has loaded. */
  readonly others: readonly string[];
}

const RTLD_NOW = 2, RTLD_NODELETE = 0x1000;
const ONNXRUNTIME_FILE = /\/libonnxruntime(?:\.so[.\d]*|[.\d]*\.dylib)$/;

/** The files mapped into this process whose name is an onnxruntime's. */
function loadedOnnxRuntimes(): string[] {
  const fd = libc().open(cstring("/proc/self/maps"), 0), chunk = new Uint8Array(1 << 16);
  if (fd < 0) return [];
  let text = "";
  const decoder = new TextDecoder();
  for (;;) {
    const length = Number(libc().read(fd, chunk, BigInt(chunk.length)));
    if (length <= 0) break;
    text += decoder.decode(chunk.subarray(0, length), { stream: true });
  }
  libc().close(fd);
  const paths = text.split("\n").map((line) => line.slice(line.indexOf("/"))).filter((p) => ONNXRUNTIME_FILE.test(p));
  return [...new Set(paths)];
}

/** Opens the library on a native thread: relocating 45 MB takes long enough to be noticed. It is never closed. */
async function dlopen(path: string): Promise<bigint> {
  const bytes = cstring(path), memory = mapMemory(bytes.length);
  new Uint8Array(ffi.view(memory.pointer, bytes.length)).set(bytes);
  const flags = RTLD_NOW | RTLD_NODELETE;
  try {
    const library = await callNative("load", functionPointer("dlopen"), [memory.address, BigInt(flags)]);
    if (library !== 0n) return library;
    libc().dlopen(bytes, flags); // once more on this thread, whose error text can be read
    throw new Error(ffi.string(libc().dlerror()!));
  } finally {
    unmapMemory(memory);
  }
}

function loadError(path: string, cause: Error, others: readonly string[]): LibraryError {
  if (!/VERS_|version `/.test(cause.message) || others.length === 0) {
    return new LibraryError("LIBRARY_INVALID", `Cannot load ${path} as onnxruntime: ${cause.message}`, { cause });
  }
  const found = `this process has loaded another one already (${others.join(", ")})`;
  return new LibraryError("LIBRARY_CONFLICT", `Cannot load onnxruntime from ${path}: ${found}: ${cause.message}`, {
    cause,
  });
}

interface Located {
  readonly path: string;
  readonly how: string;
  /** Paths of onnxruntimes that were loaded before. */
  readonly before: readonly string[];
}

function locate(): Located {
  const { library, cacheDir } = configuration();
  const located = locateOnnxRuntime({ ...(library && { library }), ...(cacheDir && { cacheDir }) });
  return { ...located, before: loadedOnnxRuntimes() };
}

/**
 * Finds, opens and links onnxruntime. Nothing is opened twice: the loader knows a library it has.
 *
 * @throws {LibraryError} LIBRARY_NOT_FOUND, LIBRARY_INVALID, LIBRARY_TOO_OLD or LIBRARY_CONFLICT
 */
export async function openOnnxRuntime(): Promise<OnnxRuntimeLibrary> {
  const located = locate(), { path, before } = located;
  const handle = await dlopen(path).catch((cause) => {
    throw loadError(path, cause, before.filter((other) => other !== path));
  });
  return link(handle, located);
}

/** Links the onnxruntime that another thread of the process has opened, at once. @throws as {@linkcode openOnnxRuntime} */
export function openOnnxRuntimeAgain(): OnnxRuntimeLibrary {
  const located = locate(), handle = libc().dlopen(cstring(located.path), RTLD_NOW | RTLD_NODELETE);
  if (handle === null) throw loadError(located.path, new Error(ffi.string(libc().dlerror()!)), located.before);
  return link(ffi.address(handle), located);
}

function link(handle: bigint, { path, how }: Located): OnnxRuntimeLibrary {
  const base = apiBase(ffi.pointer(handle)!);
  if (base === null) {
    throw new LibraryError("LIBRARY_INVALID", `Cannot use ${path} as onnxruntime: it exports no OrtGetApiBase`);
  }
  const version = versionString(base), linked = linkOnnxRuntime(base, Number(version.split(".")[1]));
  if (linked === null) {
    const wanted = `1.${MINIMUM_API} or newer wanted, ${version} found`;
    throw new LibraryError("LIBRARY_TOO_OLD", `Cannot use onnxruntime at ${path}: ${wanted}`);
  }
  return {
    ...linked,
    path,
    version,
    how,
    others: loadedOnnxRuntimes().filter((other) => other !== (realPath(path) ?? path)),
  };
}
