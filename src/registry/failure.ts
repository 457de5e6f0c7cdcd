import {
  type ErrorCode,
  LibraryError,
  MemoryError,
  NativeError,
  OrtError,
  rangeError,
  SystemError,
  typeError,
} from "../errors.ts";
import type { SlotText } from "./slot_text.ts";

/** An error in words, for the threads that wait for the same load. */
export type Failure = NonNullable<SlotText["failure"]>;

const CLASSES: Readonly<Record<string, new (code: ErrorCode, message: string) => Error>> = {
  LibraryError,
  MemoryError,
  NativeError,
  OrtError,
  SystemError,
};

/** Puts an error into words. */
export function describeFailure(error: unknown): Failure {
  const { name, code = "LOADER_FAILED", message } = (error instanceof Error ? error : Error(String(error))) as Error & {
    code?: string;
  };
  return { name, code, message };
}

/** The error that another thread's load failed with. */
export function revive({ name, code, message }: Failure): Error {
  if (name === "TypeError") return typeError(code as ErrorCode, message);
  if (name === "RangeError") return rangeError(code as ErrorCode, message);
  return new (CLASSES[name] ?? NativeError)(code as ErrorCode, message);
}
