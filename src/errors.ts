/**
 * Every error that Coload throws has a `code` of {@linkcode ErrorCode}. The caller's own mistakes are `TypeError`,
 * `RangeError` and `ReferenceError`; what comes from below extends {@linkcode NativeError}. An abort rejects with the
 * signal's own reason.
 *
 * @module
 */

/** The codes of onnxruntime's own statuses, prefixed. */
export type OrtErrorCode =
  | "ORT_FAIL"
  | "ORT_INVALID_ARGUMENT"
  | "ORT_NO_SUCH_FILE"
  | "ORT_NO_MODEL"
  | "ORT_ENGINE_ERROR"
  | "ORT_RUNTIME_EXCEPTION"
  | "ORT_INVALID_PROTOBUF"
  | "ORT_MODEL_LOADED"
  | "ORT_NOT_IMPLEMENTED"
  | "ORT_INVALID_GRAPH"
  | "ORT_EP_FAIL"
  | "ORT_MODEL_LOAD_CANCELED"
  | "ORT_MODEL_REQUIRES_COMPILATION"
  | "ORT_NOT_FOUND";

/** What went wrong, for programs to match. */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "INVALID_DTYPE"
  | "INVALID_SHAPE"
  | "INVALID_LENGTH"
  | "INVALID_LAYOUT"
  | "OUT_OF_RANGE"
  | "MISSING_FEED"
  | "UNKNOWN_FEED"
  | "UNKNOWN_SEQUENCE"
  | "UNKNOWN_OUTPUT"
  | "NOT_A_TENSOR"
  | "READ_ONLY"
  | "TENSOR_BUSY"
  | "TENSOR_DETACHED"
  | "DISPOSED"
  | "ALREADY_CONFIGURED"
  | "UNSUPPORTED"
  | "LIBRARY_NOT_FOUND"
  | "LIBRARY_INVALID"
  | "LIBRARY_TOO_OLD"
  | "LIBRARY_CONFLICT"
  | "INSTALL_FAILED"
  | "SYSTEM"
  | "OUT_OF_MEMORY"
  | "MEMORY_BUDGET"
  | "MODEL_NOT_FOUND"
  | "MODEL_INVALID"
  | "MODEL_UNSUPPORTED"
  | "EXTERNAL_DATA"
  | "PROVIDER_UNAVAILABLE"
  | "LOADER_FAILED"
  | "NOT_SHARED"
  | "INVALID_REFERENCE"
  | "STALE_REFERENCE"
  | "FOREIGN_REFERENCE"
  | "INVALID_BYTES"
  | "CACHE_UNUSABLE"
  | "CACHE_FORBIDDEN"
  | "CACHE_BUSY"
  | "DISK_FULL"
  | "MODEL_CHANGED"
  | "NOT_SHAREABLE"
  | "COPY_DAMAGED"
  | "COPY_FOREIGN"
  | "REGION_NOT_FOUND"
  | "REGION_FORBIDDEN"
  | "REGION_UNREACHABLE"
  | "REGION_INVALID"
  | "REGION_FULL"
  | "WORKER_UNAVAILABLE"
  | "WORKER_DIED"
  | "WORKER_TIMEOUT"
  | "WORKER_BUSY"
  | "WORKER_PROTOCOL"
  | "WORKER_RUNNING"
  | "UNKNOWN_MODEL"
  | "SOCKET_PATH"
  | "HTTP_ADDRESS"
  | "PYTHON"
  | OrtErrorCode;

type WithCode<E extends Error> = E & { readonly code: ErrorCode };

/** A mistake of the caller's: a wrong type, dtype, shape or name, or something used at the wrong time. */
export function typeError(code: ErrorCode, message: string, options?: ErrorOptions): WithCode<TypeError> {
  return Object.assign(new TypeError(message, options), { code });
}

/** A mistake of the caller's: a number that is too large, negative, fractional or out of bounds. */
export function rangeError(code: ErrorCode, message: string, options?: ErrorOptions): WithCode<RangeError> {
  return Object.assign(new RangeError(message, options), { code });
}

/** A mistake of the caller's: something used after it was disposed. */
export function disposedError(what: string): WithCode<ReferenceError> {
  return Object.assign(new ReferenceError(`Cannot use ${what}: it was disposed`), { code: "DISPOSED" as const });
}

/** A reference to memory that is gone: freed, used again for something else, or never there. */
export function staleError(message: string, options?: ErrorOptions): WithCode<ReferenceError> {
  return Object.assign(new ReferenceError(message, options), { code: "STALE_REFERENCE" as const });
}

/**
 * Something below Coload failed: a library, the system, onnxruntime, the memory.
 *
 * @example
 * ```ts
 * import { models, NativeError } from "@coload/onnx";
 *
 * const error = await models.load("no/such/model.onnx").catch((error: unknown) => error);
 * if (error instanceof NativeError) console.log(error.code); // MODEL_NOT_FOUND
 * ```
 */
export class NativeError extends Error {
  /** The class's name. */
  override readonly name: string = "NativeError";
  /** What went wrong, for programs to match. */
  readonly code: ErrorCode;

  /** Made by Coload alone. */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A shared library is missing, is not what it should be, or is too old; or it cannot be installed. The message says
 * what was tried.
 *
 * @example
 * ```ts
 * import { capabilities, LibraryError } from "@coload/onnx";
 *
 * const { problem } = await capabilities();
 * console.log(problem instanceof LibraryError ? problem.message : "onnxruntime works");
 * ```
 */
export class LibraryError extends NativeError {
  /** The class's name. */
  override readonly name: string = "LibraryError";
}

/**
 * The operating system refused something.
 *
 * @example
 * ```ts
 * import { models, SystemError } from "@coload/onnx";
 *
 * const error = await models.load("longer than a name may be".repeat(1000)).catch((error: unknown) => error);
 * console.log(error instanceof SystemError && error.code); // SYSTEM
 * ```
 */
export class SystemError extends NativeError {
  /** The class's name. */
  override readonly name: string = "SystemError";
}

/**
 * onnxruntime refused a model or a run.
 *
 * @example
 * ```ts
 * import { InferenceSession, OrtError } from "@coload/onnx";
 *
 * const error = await InferenceSession.create(new Uint8Array(10)).catch((error: unknown) => error);
 * console.log(error instanceof OrtError && error.code); // MODEL_INVALID
 * ```
 */
export class OrtError extends NativeError {
  /** The class's name. */
  override readonly name: string = "OrtError";
}

/**
 * A memory budget or the machine's memory does not hold what was asked for.
 *
 * @example
 * ```ts
 * import { MemoryError, ModelRegistry } from "@coload/onnx";
 *
 * await using registry = new ModelRegistry({ maxMemoryBytes: 1000 });
 * const file = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
 * const error = await registry.load(file).catch((error: unknown) => error);
 * if (error instanceof MemoryError) console.log(error.code, error.neededBytes, error.availableBytes); // MEMORY_BUDGET ...
 * ```
 */
export class MemoryError extends NativeError {
  /** The class's name. */
  override readonly name: string = "MemoryError";
  /** Bytes that were needed, where known. */
  readonly neededBytes: number | undefined;
  /** Bytes that could be had, where known. */
  readonly availableBytes: number | undefined;

  /** Made by Coload alone. */
  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { neededBytes?: number; availableBytes?: number } = {},
  ) {
    super(code, message, options);
    this.neededBytes = options.neededBytes;
    this.availableBytes = options.availableBytes;
  }
}

/**
 * A model worker cannot be reached, died, is too slow or too busy, or speaks another protocol.
 *
 * @example
 * ```ts
 * import { WorkerError } from "@coload/onnx";
 * import { ModelClient } from "@coload/onnx/client";
 *
 * const error = await ModelClient.connect("no-worker.sock").catch((error: unknown) => error);
 * console.log(error instanceof WorkerError && error.code); // WORKER_UNAVAILABLE
 * ```
 */
export class WorkerError extends NativeError {
  /** The class's name. */
  override readonly name: string = "WorkerError";
}

/**
 * Python raised an exception, which is all in here: nothing of Python's is kept for it.
 *
 * @example
 * ```ts
 * import { PythonError } from "@coload/onnx";
 * import { Python } from "@coload/onnx/python";
 *
 * try {
 *   Python.open().exec("1 / 0");
 * } catch (error) {
 *   if (error instanceof PythonError) console.log(error.type, error.traceback); // ZeroDivisionError Traceback …
 * }
 * ```
 */
export class PythonError extends NativeError {
  /** The class's name. */
  override readonly name: string = "PythonError";
  /** The exception's class, with its module unless that is builtins: `KeyError`, `json.decoder.JSONDecodeError`. */
  readonly type: string;
  /** What Python would print of it. */
  readonly traceback: string;

  /** Made by Coload alone. */
  constructor(message: string, options: { type: string; traceback: string }) {
    super("PYTHON", message);
    this.type = options.type;
    this.traceback = options.traceback;
  }
}
