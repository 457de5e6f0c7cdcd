import { type ErrorCode, MemoryError, NativeError, OrtError, SystemError, WorkerError } from "../errors.ts";

/** An error as it crosses to another process. */
export interface ErrorMessage {
  readonly name: string;
  readonly code: string;
  readonly message: string;
}

const CLASSES: Readonly<Record<string, new (code: ErrorCode, message: string) => Error>> = {
  __proto__: null as never,
  NativeError,
  OrtError,
  SystemError,
  MemoryError,
  WorkerError,
};
const MISTAKES: Readonly<Record<string, new (message: string) => Error>> = {
  __proto__: null as never,
  TypeError,
  RangeError,
  ReferenceError,
};

/** What an error says, for another process. */
export function errorMessage(error: unknown): ErrorMessage {
  const { name = "Error", code, message = String(error) } = (error ?? {}) as Partial<ErrorMessage>;
  return { name, code: typeof code === "string" ? code : "SYSTEM", message };
}

/** The error that another process met, with its class and code. */
export function remoteError({ name, code, message }: Partial<Record<keyof ErrorMessage, unknown>>): Error {
  const text = String(message),
    known = typeof code === "string" ? code as ErrorCode : "SYSTEM",
    native = CLASSES[String(name)],
    mistake = MISTAKES[String(name)];
  if (native) return new native(known, text);
  if (mistake) return Object.assign(new mistake(text), { code: known });
  return new NativeError(known, text);
}
