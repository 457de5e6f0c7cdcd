import { cstring } from "./cstring.ts";
import type { Ffi } from "./runtime.ts";

const LIBC = { getenv: { parameters: ["buffer"], result: "pointer" } } as const; // char *(const char *name)
const VARIABLE = "COLOAD_NO_EXECUTABLE_MEMORY";

/**
 * Refuses to make executable memory where the user has forbidden it, as a system with a strict policy would: for
 * seeing how a program does without. (Read from the C environment, which needs no permission.)
 *
 * @throws {Error} when the environment variable COLOAD_NO_EXECUTABLE_MEMORY is set
 */
export function checkExecutableMemory(ffi: Ffi): void {
  if (ffi.open("libc.so.6", LIBC).getenv(cstring(VARIABLE)) !== null) {
    throw new Error(`executable memory is forbidden by ${VARIABLE}`);
  }
}
