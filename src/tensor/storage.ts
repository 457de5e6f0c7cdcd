import { disposedError, typeError } from "../errors.ts";
import type { DataOf, DType } from "./dtype.ts";

/** Where a tensor's elements lie: in the JavaScript heap, in this process's native memory, or in memory that other processes see. */
export type StorageKind = "heap" | "native" | "shared";

/** Any dtype's array. */
export type Data = DataOf[DType];

/**
 * What a tensor lies in, and who uses it. Reads share, a write excludes: a storage that C uses is pinned. One that is
 * lent is used by others who keep to no such rule. Memory that is disposed meanwhile goes when the last pin and the
 * last loan do.
 */
export abstract class Storage {
  /** Where it lies. */
  abstract readonly kind: StorageKind;
  /** Its bytes; 0 for strings. */
  abstract readonly byteLength: number;
  /**
   * What a layer above hangs on this memory, such as an OrtValue: disposed just before the memory goes. It must not
   * refer to the tensor or its storage, or a finalizer would never run.
   */
  abstract attachment: Disposable | undefined;
  /** Readers; -1 for a writer. */
  #pins = 0;
  #loans = 0;
  #disposed = false;

  /** All of it as one array, the same at every call. */
  abstract data(dtype: DType): Data;
  /** `length` elements from `start` on, which lie within. */
  abstract view(dtype: DType, start: number, length: number): Data;
  /** Refuses memory that is no longer what the tensor was made of. @throws {TypeError} TENSOR_DETACHED */
  abstract check(): void;
  /** Lets the memory go. Called once. */
  protected abstract free(): void;

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Refuses a read by JavaScript. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  checkReadable(): void {
    if (this.#disposed) throw disposedError("tensor");
    if (this.#pins < 0) throw busy("read", "a run is writing it");
  }

  /** Keeps the memory while C reads it. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  pinRead(): void {
    this.checkReadable();
    this.#pins++;
  }

  /** Refuses a write by anybody else than who pinned it. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  checkWritable(doing: string = "write"): void {
    if (this.#disposed) throw disposedError("tensor");
    if (this.#pins !== 0) throw busy(doing, this.#pins < 0 ? "a run is writing it" : "a run is reading it");
  }

  /** Keeps the memory while C writes it. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  pinWrite(): void {
    this.checkWritable();
    this.#pins = -1;
  }

  /** Ends one {@linkcode pinRead}. */
  unpinRead(): void {
    this.#pins--;
    this.#freeIfUnused();
  }

  /** Ends a {@linkcode pinWrite}. */
  unpinWrite(): void {
    this.#pins = 0;
    this.#freeIfUnused();
  }

  /** Whether somebody has it on loan. */
  get isLent(): boolean {
    return this.#loans > 0;
  }

  /** Keeps the memory for who shares it, to read and to write. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY */
  lend(): void {
    this.checkReadable();
    this.#loans++;
  }

  /** Ends one {@linkcode lend}. */
  takeBack(): void {
    this.#loans--;
    this.#freeIfUnused();
  }

  /** Ends all use: at once, or for the memory when the last pin and the last loan go. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#freeIfUnused();
  }

  #freeIfUnused(): void {
    if (this.#disposed && this.#pins === 0 && this.#loans === 0) this.free();
  }
}

function busy(what: string, why: string): TypeError {
  return typeError("TENSOR_BUSY", `Cannot ${what} tensor: ${why}`);
}
