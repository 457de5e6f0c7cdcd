import { libc } from "./libc.ts";
import { ffi, type Pointer, type Symbols } from "./mod.ts";
import type { Bytes } from "./runtime.ts";

const FROM_ARRAY = { memcpy: { parameters: ["pointer", "buffer", "usize"], result: "pointer" } } as const; // (void *to, const void *from, size_t n)
const FROM_MEMORY = { memcpy: { parameters: ["pointer", "pointer", "usize"], result: "pointer" } } as const;

let fromArray: Symbols<typeof FROM_ARRAY> | undefined;
let fromMemory: Symbols<typeof FROM_MEMORY> | undefined;

/** Copies an array, which lies in the JavaScript heap, to native memory. */
export function copyFromArray(to: Pointer, from: Bytes): void {
  if (from.byteLength === 0) return;
  fromArray ??= ffi.open("libc.so.6", FROM_ARRAY);
  fromArray.memcpy(to, from, BigInt(from.byteLength));
}

/** Copies native memory to an array, whole. */
export function copyToArray(to: Bytes, from: Pointer): void {
  if (to.byteLength > 0) libc().memcpy(to, from, BigInt(to.byteLength));
}

/** Copies native memory. */
export function copyMemory(to: Pointer, from: Pointer, byteLength: number): void {
  if (byteLength === 0) return;
  fromMemory ??= ffi.open("libc.so.6", FROM_MEMORY);
  fromMemory.memcpy(to, from, BigInt(byteLength));
}
