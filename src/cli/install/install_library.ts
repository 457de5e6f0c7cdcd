import { mkdir, open, readdir, rename } from "node:fs/promises";
import path from "node:path";
import { cacheDirectory, installDirectory } from "../../../ffi/cache_directory.ts";
import { findOnnxRuntime } from "../../../ffi/find_library.ts";
import { LibraryError, rangeError } from "../../errors.ts";
import { download } from "./download.ts";
import { DEFAULT_VERSION, PACKAGE, PINS } from "./pins.ts";
import { registryUrl } from "./registry.ts";
import { unpack } from "./unpack.ts";
import { WorkFolder } from "./work_folder.ts";

/** What to install, and where. */
export interface InstallOptions {
  /** One of the versions whose digest is known. */
  readonly version?: string | undefined;
  /** Coload's cache, if not the usual one. */
  readonly cacheDir?: string | undefined;
  /** Fetches it again though it is there. */
  readonly force?: boolean | undefined;
  readonly signal: AbortSignal;
  /** Hears of bytes fetched, and of how many there will be. */
  readonly onProgress?: (bytes: number, total: number | undefined) => void;
}

/** An installed library. */
export interface Installed {
  readonly path: string;
  readonly version: string;
  /** Whether it had to be fetched. */
  readonly fetched: boolean;
}

/**
 * Fetches onnxruntime into the cache. The package is checked against its pinned digest before it is read; the library
 * appears there whole or not at all, also with several installs at once; a failed or aborted one leaves nothing.
 *
 * @throws {RangeError} `INVALID_ARGUMENT` for a version whose digest is not known.
 * @throws {LibraryError} `INSTALL_FAILED` with what is in the way.
 */
export async function installLibrary(options: InstallOptions): Promise<Installed> {
  const { version = DEFAULT_VERSION, cacheDir, force = false, signal, onProgress } = options;
  const sha512 = PINS[version];
  if (sha512 === undefined) {
    const known = Object.keys(PINS).join(", ");
    throw rangeError("INVALID_ARGUMENT", `Cannot install onnxruntime ${version}: digests are known for ${known}`);
  }
  const cache = cacheDirectory(cacheDir);
  if (cache === undefined) throw failed(version, new Error("the environment has no HOME; say where with --dir"));
  const target = installDirectory(cache, version);
  const installed = libraryIn(target);
  if (installed !== undefined && !force) return { path: installed, version, fetched: false };

  try {
    await using work = await WorkFolder.make(path.join(cache, "onnxruntime"));
    const tarball = path.join(work.path, "package.tgz");
    const unpacked = path.join(work.path, "unpacked");
    const url = new URL(`${PACKAGE}/-/${PACKAGE}-${version}.tgz`, await registryUrl());
    signal.throwIfAborted();
    await download(url, tarball, { sha512, signal, onProgress });
    await mkdir(unpacked);
    await unpack(tarball, unpacked);
    signal.throwIfAborted();
    await moveInto(target, unpacked);
  } catch (cause) {
    throw signal.aborted ? signal.reason : failed(version, cause);
  }
  return { path: libraryIn(target)!, version, fetched: true };
}

function libraryIn(directory: string): string | undefined {
  return findOnnxRuntime({ library: directory }).found?.path;
}

/** Moves files, so that each is there whole or not at all, even after a power cut. */
async function moveInto(target: string, directory: string): Promise<void> {
  await mkdir(target, { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory)) {
    const file = path.join(directory, name);
    await using handle = await open(file, "r+");
    await handle.sync();
    await rename(file, path.join(target, name));
  }
}

function failed(version: string, cause: unknown): LibraryError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reason = code === "ENOSPC" || code === "EDQUOT" ? "the disk is full, and this takes 160 MB" : message;
  return new LibraryError("INSTALL_FAILED", `Cannot install onnxruntime ${version}: ${reason}`, { cause });
}
