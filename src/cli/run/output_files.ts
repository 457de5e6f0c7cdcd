import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { SystemError } from "../../errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodeJson } from "./json.ts";
import { encodeNpy } from "./npy.ts";

function exists(path: string): SystemError {
  return new SystemError("SYSTEM", `Cannot write ${path}: it is there already; --force replaces it`);
}

function noFolder(path: string, options?: ErrorOptions): SystemError {
  return new SystemError("SYSTEM", `Cannot write ${path}: there is no folder ${dirname(path)}`, options);
}

/** Refuses files that cannot be written, before anything is run. @throws {SystemError} SYSTEM */
export function checkOutputFiles(paths: Iterable<string | undefined>, force: boolean): void {
  for (const path of paths) {
    if (path === undefined) continue;
    if (!force && existsSync(path)) throw exists(path);
    if (!existsSync(dirname(path))) throw noFolder(path);
  }
}

/** Gives a file its name, unless there is one of that name. */
async function publish(work: string, path: string): Promise<void> {
  try {
    await link(work, path);
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST" || existsSync(path)) throw exists(path);
    await rename(work, path); // a file system without hard links
  }
}

/** Whether a file is NumPy's by its name, not JSON. */
export function isNpy(path: string): boolean {
  return extname(path).toLowerCase() === ".npy";
}

async function writeTensor(file: FileHandle, path: string, tensor: Tensor, name: string): Promise<void> {
  if (isNpy(path)) return await file.writeFile(encodeNpy(tensor, name));
  for (const piece of encodeJson(tensor)) await file.writeFile(piece);
}

/**
 * Writes an output to a `.npy` or `.json` file, which is there as a whole or not at all.
 *
 * @throws {SystemError} SYSTEM when it is there and is not to be replaced, or cannot be written
 * @throws {TypeError} UNSUPPORTED for strings in `.npy`
 */
export async function writeOutput(path: string, tensor: Tensor, name: string, force: boolean): Promise<void> {
  const work = join(dirname(path), `.${basename(path)}.${randomUUID()}`);
  try {
    const file = await open(work, "wx");
    try {
      await writeTensor(file, path, tensor, name);
    } finally {
      await file.close();
    }
    await (force ? rename(work, path) : publish(work, path));
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string };
    if (cause instanceof SystemError || code === "UNSUPPORTED") throw cause;
    if (code === "ENOENT") throw noFolder(path, { cause });
    throw new SystemError("SYSTEM", `Cannot write ${path}: ${message}`, { cause });
  } finally {
    await rm(work, { force: true });
  }
}
