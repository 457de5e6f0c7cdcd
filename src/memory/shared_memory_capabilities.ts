import { fileSystemSpace } from "../../ffi/file_system.ts";
import { createFile, SHARED_DIRECTORY } from "./region_file.ts";
import type { Backend } from "./region_file.ts";
import { layOut } from "./region_layout.ts";
import { findLeftOvers } from "./sweep_directory.ts";

/** What memory can be shared with other processes here. */
export interface SharedMemoryCapabilities {
  /**
   * `"works"` when regions can be made in /dev/shm; otherwise why not. Where it is missing or refused allocators use
   * memfd; where it is full they throw OUT_OF_MEMORY.
   */
  readonly named: string;
  /** `"works"` when regions can be made without a name; otherwise why not. */
  readonly memfd: string;
  /** The size of /dev/shm in bytes; 0 where there is none. */
  readonly totalBytes: number;
  /** What of it can be had. */
  readonly freeBytes: number;
  /** Regions in it that dead processes left, which the next sweep removes, and what they take. */
  readonly leftOver: { readonly count: number; readonly bytes: number };
}

function tried(backend: Backend): string {
  try {
    createFile(backend, layOut(1, 0))[Symbol.dispose]();
    return "works";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Tries what can be shared. */
export function sharedMemoryCapabilities(): SharedMemoryCapabilities {
  let space = { totalBytes: 0, freeBytes: 0 };
  try {
    space = fileSystemSpace(SHARED_DIRECTORY);
  } catch {
    // there is none, as `named` says
  }
  return { named: tried("named"), memfd: tried("memfd"), ...space, leftOver: findLeftOvers() };
}
