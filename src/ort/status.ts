import { ffi, type Pointer } from "../../ffi/mod.ts";
import { MemoryError, type NativeError, OrtError, type OrtErrorCode } from "../errors.ts";
import { ort } from "./environment.ts";

const CODES: readonly OrtErrorCode[] = [
  "ORT_FAIL",
  "ORT_FAIL",
  "ORT_INVALID_ARGUMENT",
  "ORT_NO_SUCH_FILE",
  "ORT_NO_MODEL",
  "ORT_ENGINE_ERROR",
  "ORT_RUNTIME_EXCEPTION",
  "ORT_INVALID_PROTOBUF",
  "ORT_MODEL_LOADED",
  "ORT_NOT_IMPLEMENTED",
  "ORT_INVALID_GRAPH",
  "ORT_EP_FAIL",
  "ORT_MODEL_LOAD_CANCELED",
  "ORT_MODEL_REQUIRES_COMPILATION",
  "ORT_NOT_FOUND",
];

/** How onnxruntime says, in whichever status, that there is no memory left. */
export const OUT_OF_MEMORY: RegExp = /bad_alloc|bad allocation|Failed to allocate memory|out of memory/i;

/** Reads and releases a status that is not success. */
export function readStatus(status: Pointer): { readonly code: OrtErrorCode; readonly message: string } {
  const { api } = ort();
  const code = CODES[api.GetErrorCode(status)] ?? "ORT_FAIL", message = ffi.string(api.GetErrorMessage(status)!);
  api.ReleaseStatus(status);
  return { code, message };
}

/** The error for a status that is not success; releases it. */
function statusError(status: Pointer, doing: string): NativeError {
  const { code, message } = readStatus(status);
  if (OUT_OF_MEMORY.test(message)) return new MemoryError("OUT_OF_MEMORY", `Cannot ${doing}: ${message}`);
  return new OrtError(code, `Cannot ${doing}: ${message}`);
}

/** The one place where a failed status becomes an exception. @throws {OrtError} with onnxruntime's words. */
export function check(status: Pointer | null, doing: string): void {
  if (status !== null) throw statusError(status, doing);
}
