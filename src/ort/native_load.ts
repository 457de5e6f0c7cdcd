import { cstring } from "../../ffi/cstring.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { mapMemory, type NativeMemory, offset, unmapMemory } from "../../ffi/native_memory.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { leaveBeforeDestructors } from "../../ffi/process/pool.ts";
import { MemoryError, type NativeError, OrtError, SystemError } from "../errors.ts";
import { ort } from "./environment.ts";
import { createNativeOptions } from "./native_options.ts";
import type { NativeSessionOptions } from "./session_options.ts";
import { OUT_OF_MEMORY, readStatus } from "./status.ts";

const HEADER = 64;

let handlerIsLast = false;

/** A model to load: a file's path, or bytes that are copied into native memory at once. */
export type LoadSource = { readonly path: string } | { readonly bytes: Uint8Array };

/** Maps onnxruntime's many words for a bad model to what a caller can act on. */
function loadError(status: Pointer, name: string): NativeError {
  const { code, message } = readStatus(status), text = `Cannot load model ${name}: ${message}`;
  if (OUT_OF_MEMORY.test(message)) return new MemoryError("OUT_OF_MEMORY", text);
  if (/external data|external_data|External initializer|data file|file_length|mapped file/i.test(message)) {
    return new OrtError("EXTERNAL_DATA", text);
  }
  if (
    code === "ORT_NOT_IMPLEMENTED" ||
    /not a registered function|No Op registered|opset|IR version|Could not find an implementation/i.test(message)
  ) return new OrtError("MODEL_UNSUPPORTED", text);
  if (/system error number \d+/.test(message)) return new SystemError("SYSTEM", text);
  if (code === "ORT_NO_SUCH_FILE") return new OrtError("MODEL_NOT_FOUND", text);
  if (/^ORT_(INVALID_PROTOBUF|INVALID_GRAPH|NO_MODEL|FAIL|INVALID_ARGUMENT|RUNTIME_EXCEPTION)$/.test(code)) {
    return new OrtError("MODEL_INVALID", text);
  }
  return new OrtError(code, text);
}

/**
 * One call of CreateSession on a native thread. All that the call touches is native memory of its own: words 0 and 1
 * are the session that comes out and the options that go in, then the path or the bytes from byte 64.
 */
export class NativeLoad {
  readonly #memory: NativeMemory;
  readonly #name: string;
  readonly #path: boolean;
  readonly #byteLength: number;
  /** In the ledger: the session that comes out, and the rest. */
  #sessionNote: number | undefined;
  #notes: number[] = [];
  #released = false;

  private constructor(memory: NativeMemory, name: string, path: boolean, byteLength: number) {
    this.#memory = memory;
    this.#name = name;
    this.#path = path;
    this.#byteLength = byteLength;
  }

  /** @throws {NativeError | TypeError} for options that cannot be had here */
  static prepare(source: LoadSource, options: NativeSessionOptions): NativeLoad {
    const isPath = "path" in source, bytes = isPath ? cstring(source.path) : source.bytes;
    const memory = mapMemory(HEADER + bytes.length);
    try {
      const words = new BigUint64Array(ffi.view(memory.pointer, HEADER));
      words[1] = ffi.address(createNativeOptions(options));
    } catch (error) {
      unmapMemory(memory);
      throw error;
    }
    new Uint8Array(ffi.view(offset(memory, HEADER), bytes.length)).set(bytes);
    const name = isPath ? source.path : `of ${bytes.length} bytes`;
    return new NativeLoad(memory, name, isPath, bytes.length);
  }

  /** The address of what the load needs, for a thread that finishes it in place of one that ended. */
  get address(): bigint {
    return this.#memory.address;
  }

  /** Bytes mapped at {@linkcode NativeLoad.address}. */
  get mappedByteLength(): number {
    return this.#memory.byteLength;
  }

  get #words(): BigUint64Array {
    return new BigUint64Array(ffi.view(this.#memory.pointer, HEADER));
  }

  /** Has everything released if this thread ends in the middle. A load that the process shares does without. */
  noteInLedger(): void {
    const { address } = ort(), { address: at, byteLength } = this.#memory;
    this.#sessionNote = note(address("ReleaseSession"), at, 1n, LEDGER.callEach);
    this.#notes = [
      note(address("ReleaseSessionOptions"), this.#words[1]!),
      note(ffi.address(functionPointer("munmap")), at, BigInt(byteLength), LEDGER.callLast),
    ];
  }

  /** Asks onnxruntime to stop; {@linkcode NativeLoad.run} then rejects. */
  cancel(): void {
    if (!this.#released) cancelLoad(this.#memory.address);
  }

  /**
   * Creates the session, once. It stays in the ledger until the caller calls {@linkcode NativeLoad.disown}, and owns it.
   *
   * @param lane `map` for a model whose weights are mapped: they load one after the other
   * @throws {NativeError} with the model's name in its message
   */
  async run(lane: "load" | "map" = "load"): Promise<Pointer> {
    const { address, env } = ort(), [out, options] = [this.#memory.address, this.#words[1]!];
    const model = out + BigInt(HEADER), size = this.#path ? [] : [BigInt(this.#byteLength)];
    const fn = address(this.#path ? "CreateSession" : "CreateSessionFromArray");
    const status = await callNative(lane, fn, [ffi.address(env), model, ...size, options, out]);
    const session = ffi.pointer(this.#words[0]!);
    if (!handlerIsLast) leaveBeforeDestructors(); // the first session makes onnxruntime's last statics
    handlerIsLast = true;
    if (status !== 0n) throw loadError(ffi.pointer(status)!, this.#name);
    return session!;
  }

  /**
   * Strikes the session out of the ledger, for an owner who notes it right after: a thread that ends between the two
   * leaks it, and never has it released twice. Harmless when repeated.
   */
  disown(): void {
    if (this.#sessionNote !== undefined) strike(this.#sessionNote);
    this.#sessionNote = undefined;
  }

  /** Releases what the load needed, once it is over and no other thread can find it any more. */
  release(): void {
    this.#released = true;
    this.disown();
    this.#notes.splice(0).forEach(strike);
    releaseLoad(this.#memory.address, this.#memory.byteLength);
  }
}

/** Asks onnxruntime to stop the load whose memory this is. */
export function cancelLoad(address: bigint): void {
  const options = new BigUint64Array(ffi.view(offset({ address }, 0), HEADER))[1]!;
  const status = ort().api.SessionOptionsSetLoadCancellationFlag(ffi.pointer(options)!, 1);
  if (status !== null) ort().api.ReleaseStatus(status);
}

/** The session that the load whose memory this is has made, if it has; for a load whose thread ended. */
export function loadedSession(address: bigint): Pointer | null {
  return ffi.pointer(new BigUint64Array(ffi.view(offset({ address }, 0), HEADER))[0]!);
}

/** Releases what a load needed, when it is over. */
export function releaseLoad(address: bigint, byteLength: number): void {
  const pointer = offset({ address }, 0);
  ort().api.ReleaseSessionOptions(ffi.pointer(new BigUint64Array(ffi.view(pointer, HEADER))[1]!)!);
  unmapMemory({ pointer, address, byteLength });
}
