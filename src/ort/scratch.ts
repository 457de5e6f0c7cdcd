import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { mapMemory, offset } from "../../ffi/native_memory.ts";

/** Native cells for what a C call returns through a pointer; of use only until the next synchronous call. */
export interface Scratch {
  readonly a: Pointer;
  readonly b: Pointer;
  readonly c: Pointer;
  /** The cells, one 64-bit word each. */
  readonly words: BigUint64Array;
  readonly i32: Int32Array;
}

let cells: Scratch | undefined;

/** This thread's scratch cells. */
export function scratch(): Scratch {
  if (cells) return cells;
  const memory = mapMemory(4096), words = new BigUint64Array(ffi.view(memory.pointer, 64));
  const at = (i: number): Pointer => offset(memory, i * 8);
  return cells = { a: at(0), b: at(1), c: at(2), words, i32: new Int32Array(words.buffer) };
}

/** The number in a scratch cell that C wrote a `size_t` or `int64_t` into. */
export function count(cell: 0 | 1 | 2 = 0): number {
  return Number(BigInt.asIntN(64, scratch().words[cell]!));
}

/** The pointer in a scratch cell. */
export function pointerIn(cell: 0 | 1 | 2 = 0): Pointer | null {
  return ffi.pointer(scratch().words[cell]!);
}

/** An array of C strings in one piece of memory, so that lending the pointers keeps the strings as well. */
export class CStrings {
  /** `const char *const *`, to lend. Never empty: an empty array has no address. */
  readonly pointers: BigUint64Array<ArrayBuffer>;

  /** @throws {TypeError} when one of them holds a NUL */
  constructor(texts: readonly string[]) {
    const strings = texts.map(cstring), count = Math.max(1, texts.length);
    const bytes = new Uint8Array(strings.reduce((sum, string) => sum + string.length, count * 8));
    this.pointers = new BigUint64Array(bytes.buffer, 0, count);
    const base = ffi.address(ffi.of(bytes));
    let at = count * 8;
    strings.forEach((string, i) => {
      bytes.set(string, at);
      this.pointers[i] = base + BigInt(at);
      at += string.length;
    });
  }
}
