import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { Handle } from "../../handle.ts";
import { ort } from "../../ort/environment.ts";

/** An `OrtValue *`, owned. */
export const valueHandle = (value: Pointer): Handle =>
  new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });

/** Releases a value. Harmless when repeated. */
export function releaseValue(handle: Handle | undefined): void {
  const value = handle?.take();
  if (value) ort().api.ReleaseValue(value);
}
