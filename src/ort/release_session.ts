import { functionPointer } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { ort } from "./environment.ts";

let releasing = 0;
let trimming: Promise<unknown> | undefined;

/** Gives memory that C has freed back to the system, off the event loop; once for all who ask meanwhile. */
export function trimMemory(): Promise<unknown> {
  return trimming ??= callNative("release", functionPointer("malloc_trim"), [0n]).finally(() => trimming = undefined);
}

/** Releases a native session off the event loop, and gives what it held back to the system. */
export async function releaseSession(pointer: Pointer): Promise<void> {
  releasing++;
  await callNative("release", ort().address("ReleaseSession"), [ffi.address(pointer)]);
  if (--releasing > 0) return; // the last of many trims for all
  await trimming; // one that began before has not seen this session's memory
  await trimMemory();
}
