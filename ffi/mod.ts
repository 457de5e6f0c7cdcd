/**
 * The running runtime's foreign function interface.
 *
 * @module
 */
import type { Ffi } from "./runtime.ts";

/** The running runtime's {@linkcode Ffi}. Choosing it opens no library. */
export const ffi: Ffi = "Bun" in globalThis ? (await import("./bun.ts")).ffi : (await import("./deno.ts")).ffi;

export type * from "./runtime.ts";
