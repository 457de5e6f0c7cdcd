/**
 * Writes the smallest ELF64 shared object that a dynamic loader accepts: exported functions or one block of writable
 * data, held in memory and never on disk. Layout after the System V ABI and the ELF-64 object file format.
 *
 * @module
 */

/** `e_machine` of the supported architectures. */
export const MACHINE: Readonly<Record<"x64" | "arm64", number>> = { x64: 62, arm64: 183 };

/** One exported symbol: code to execute, or zeroed writable bytes. */
export type ElfSymbol =
  | { readonly name: string; readonly code: Uint8Array }
  | { readonly name: string; readonly dataByteLength: number };

const HEADER = 64, PROGRAM_HEADER = 56, SYMBOL = 24, BUCKETS = 64, PAGE = 65536, DYNAMIC_ENTRIES = 6;
const PT_LOAD = 1, PT_DYNAMIC = 2, PT_GNU_STACK = 0x6474e551, R = 4, RW = 6, RX = 5;
const DT_NULL = 0, DT_HASH = 4, DT_STRTAB = 5, DT_SYMTAB = 6, DT_STRSZ = 10, DT_SYMENT = 11;
const GLOBAL_FUNCTION = 0x12, GLOBAL_OBJECT = 0x11;

const align = (value: number, to: number): number => Math.ceil(value / to) * to;
const encoder = new TextEncoder();

/** The SysV hash of a symbol's name. */
function hash(name: string): number {
  let h = 0;
  for (const byte of encoder.encode(name)) {
    h = ((h << 4) >>> 0) + byte;
    const high = h & 0xf0000000;
    if (high) h ^= high >>> 24;
    h = (h & ~high) >>> 0;
  }
  return h;
}

/** The bytes of a shared object that exports the symbols. */
export function sharedObject(symbols: readonly ElfSymbol[], machine: number): Uint8Array<ArrayBuffer> {
  const names = symbols.map((s) => encoder.encode(s.name));
  const count = symbols.length + 1;
  const symbolsAt = HEADER + 4 * PROGRAM_HEADER;
  const stringsAt = symbolsAt + SYMBOL * count;
  const stringsLength = 1 + names.reduce((sum, name) => sum + name.length + 1, 0);
  const hashAt = align(stringsAt + stringsLength, 8);
  let at = align(hashAt + 4 * (2 + BUCKETS + count), 16);
  const place = (byteLength: number): number => {
    const start = at;
    at = align(at + byteLength, 16);
    return start;
  };
  const codeAt = symbols.map((s) => "code" in s ? place(s.code.length) : 0);
  const readOnlyEnd = at, dynamicAt = align(at, PAGE);
  at = dynamicAt + 16 * DYNAMIC_ENTRIES;
  const dataAt = symbols.map((s) => "dataByteLength" in s ? place(s.dataByteLength) : 0);
  const total = at;

  const bytes = new Uint8Array(total), view = new DataView(bytes.buffer);
  const u16 = (p: number, x: number): void => view.setUint16(p, x, true);
  const u32 = (p: number, x: number): void => view.setUint32(p, x, true);
  const u64 = (p: number, x: number): void => view.setBigUint64(p, BigInt(x), true);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(16, 3); // ET_DYN
  u16(18, machine);
  u32(20, 1);
  u64(32, HEADER);
  u16(52, HEADER);
  u16(54, PROGRAM_HEADER);
  u16(56, 4);
  u16(58, 64);
  const segments: [type: number, flags: number, offset: number, byteLength: number, align: number][] = [
    [PT_LOAD, symbols.some((s) => "code" in s) ? RX : R, 0, readOnlyEnd, PAGE],
    [PT_LOAD, RW, dynamicAt, total - dynamicAt, PAGE],
    [PT_DYNAMIC, RW, dynamicAt, 16 * DYNAMIC_ENTRIES, 8],
    [PT_GNU_STACK, RW, 0, 0, 16],
  ];
  segments.forEach(([type, flags, offset, byteLength, alignment], i) => {
    const p = HEADER + i * PROGRAM_HEADER;
    u32(p, type);
    u32(p + 4, flags);
    [offset, offset, offset, byteLength, byteLength, alignment].forEach((x, k) => u64(p + 8 + 8 * k, x));
  });

  u32(hashAt, BUCKETS);
  u32(hashAt + 4, count);
  let nameAt = 1;
  symbols.forEach((symbol, i) => {
    const p = symbolsAt + SYMBOL * (i + 1), isCode = "code" in symbol, value = isCode ? codeAt[i]! : dataAt[i]!;
    u32(p, nameAt);
    bytes[p + 4] = isCode ? GLOBAL_FUNCTION : GLOBAL_OBJECT;
    u16(p + 6, isCode ? 1 : 2);
    u64(p + 8, value);
    u64(p + 16, isCode ? symbol.code.length : symbol.dataByteLength);
    if (isCode) bytes.set(symbol.code, value);
    bytes.set(names[i]!, stringsAt + nameAt);
    nameAt += names[i]!.length + 1;
    const bucket = hashAt + 8 + 4 * (hash(symbol.name) % BUCKETS);
    u32(hashAt + 8 + 4 * BUCKETS + 4 * (i + 1), view.getUint32(bucket, true));
    u32(bucket, i + 1);
  });
  const dynamic = [[DT_HASH, hashAt], [DT_STRTAB, stringsAt], [DT_SYMTAB, symbolsAt], [DT_STRSZ, stringsLength], [
    DT_SYMENT,
    SYMBOL,
  ], [DT_NULL, 0]] as const;
  dynamic.forEach(([tag, value], i) => {
    u64(dynamicAt + 16 * i, tag);
    u64(dynamicAt + 16 * i + 8, value);
  });
  return bytes;
}
