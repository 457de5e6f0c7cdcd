/**
 * The one interface between Coload and a JavaScript runtime's foreign function interface. Everything else is written
 * against it; `deno.ts` and `bun.ts` are its two implementations.
 *
 * @module
 */

declare const pointee: unique symbol;

/** An opaque native address, never NULL (NULL is `null`). Two pointers to one address need not be `===`. */
export interface Pointer<T = unknown> {
  readonly [pointee]: T;
}

/** Width and sign of one C value. `buffer` lends a typed array's memory for the length of the call. */
export type NativeType = "i32" | "u32" | "i64" | "u64" | "usize" | "f32" | "f64" | "pointer" | "buffer";

/** One C function signature. */
export interface Signature {
  /** The C types of its parameters, in order. */
  readonly parameters: readonly NativeType[];
  /** The C type of its result. */
  readonly result: NativeType | "void";
}

/** C function signatures by name. */
export type Signatures = Readonly<Record<string, Signature>>;

/** Memory a `buffer` parameter lends. */
export type Bytes = ArrayBufferView<ArrayBuffer>;

type Value<T extends NativeType | "void"> = T extends "void" ? void
  : T extends "i64" | "u64" | "usize" ? bigint
  : T extends "pointer" ? Pointer | null
  : T extends "buffer" ? Bytes | null
  : number;

type Values<P extends readonly NativeType[]> = { -readonly [I in keyof P]: Value<P[I]> };

/** The JavaScript function for a {@linkcode Signature}. */
export type Native<S extends Signature> = (...args: Values<S["parameters"]>) => Value<S["result"]>;

/** The JavaScript functions for {@linkcode Signatures}. */
export type Symbols<S extends Signatures> = { readonly [K in keyof S]: Native<S[K]> };

/** Functions linked by address, and whether calling them is as fast as a symbol of an open library. */
export interface Linked<S extends Signatures> {
  readonly symbols: Symbols<S>;
  /** `true` at C speed; otherwise why not. */
  readonly fast: true | string;
}

/** The readable end of a socket pair on this thread's event loop. */
export interface Mailbox {
  /** Keeps the event loop alive. */
  ref(): void;
  /** Lets the event loop end. */
  unref(): void;
}

/** What becomes of a {@linkcode Stream}. */
export interface StreamEvents {
  /** Bytes arrived. They are this call's only: who keeps them copies them. */
  bytes(bytes: Uint8Array): void;
  /** What `write` left waiting has been sent. */
  drained(): void;
  /** It is closed, at either end; called once. */
  closed(): void;
}

/** A connected socket on this thread's event loop, which owns its descriptor. */
export interface Stream {
  /** Sends bytes, which must not change any more, in order. Whether none are waiting to be sent. */
  write(bytes: Uint8Array<ArrayBuffer>): boolean;
  /** Bytes that were written and not sent yet. */
  readonly unsentBytes: number;
  /** Closes it at once. Harmless when repeated. */
  close(): void;
  /** Keeps the event loop alive. */
  ref(): void;
  /** Lets the event loop end. */
  unref(): void;
}

/** What a runtime must offer. */
export interface Ffi {
  /** The runtime's name and version, such as `deno 2.9.6`. */
  readonly runtime: string;
  /** The machine's architecture. */
  readonly arch: "x64" | "arm64" | "other";
  /** Opens a shared library. @throws {Error} when the loader refuses it or a symbol is missing. */
  open<const S extends Signatures>(path: string, signatures: S): Symbols<S>;
  /** Makes one C function callable by its address. On Deno such a call costs microseconds. */
  bind<const S extends Signature>(pointer: Pointer, signature: S): Native<S>;
  /** Makes many C functions callable by their addresses, at C speed where the system allows it. */
  link<const S extends Signatures>(addresses: { readonly [K in keyof S]: Pointer }, signatures: S): Linked<S>;
  /** The address of a pointer; 0 for `null`. */
  address(pointer: Pointer | null): bigint;
  /** The pointer of an address; `null` for 0. */
  pointer(address: bigint): Pointer | null;
  /** The address of a typed array's memory, which the caller keeps alive. The array must not be empty. */
  of(view: Bytes): Pointer;
  /** Native memory from some bytes behind a pointer on as an ArrayBuffer, without a copy. It must outlive every use of the buffer. */
  view(pointer: Pointer, byteLength: number, byteOffset?: number): ArrayBuffer;
  /** A NUL-terminated UTF-8 string, copied. */
  string(pointer: Pointer): string;
  /** Calls `onBytes` on this thread's event loop with whatever arrives at a socket. It starts unreferenced. */
  listen(fd: number, onBytes: (bytes: Uint8Array) => void): Promise<Mailbox>;
  /** Puts a connected socket on this thread's event loop. It starts unreferenced. */
  stream(fd: number, events: StreamEvents): Promise<Stream>;
  /**
   * The runtime's own way to call C of up to eight integers without blocking, where native threads cannot be had. It is
   * not safe against the end of this thread in the middle of a call. Calls of one queue may wait for each other.
   */
  callElsewhere(queue: string, fn: bigint, args: readonly bigint[]): Promise<bigint>;
  /** Whether an environment variable can be read without anybody being asked. */
  mayReadVariable(name: string): boolean;
  /** Whether a program can be run without anybody being asked. */
  mayRun(program: string): boolean;
  /** Where a bare npm specifier such as `onnxruntime-node/package.json` lies, as the runtime resolves it. */
  resolve(specifier: string): string | undefined;
}
