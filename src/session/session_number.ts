import { ffi } from "../../ffi/mod.ts";
import { processBlock } from "../../ffi/process/shared.ts";

let numbers: Uint32Array | undefined;

/** A number that no other session of the process has, whichever Worker or registry it belongs to. */
export function nextSessionNumber(): number {
  numbers ??= new Uint32Array(ffi.view(processBlock("session numbers", 64).pointer, 64));
  return Atomics.add(numbers, 0, 1) + 1;
}
