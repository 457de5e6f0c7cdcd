import { CFunction, CString, dlopen, linkSymbols, ptr, toArrayBuffer } from "bun:ffi";
import { createRequire } from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Ffi, NativeType, Pointer, Signature, Signatures, Stream, StreamEvents } from "./runtime.ts";

// deno-lint-ignore no-explicit-any -- Bun's pointers are plain numbers
type Any = any;

const Bun: Any = (globalThis as Any).Bun;

const TYPES: Partial<Record<NativeType | "void", string>> = { pointer: "ptr", buffer: "ptr", usize: "u64" };

function toBun({ parameters, result }: Signature): Any {
  return { args: parameters.map((type) => TYPES[type] ?? type), returns: TYPES[result] ?? result };
}

function table(signatures: Signatures, pointers?: Readonly<Record<string, Pointer>>): Any {
  return Object.fromEntries(
    Object.entries(signatures).map(([name, s]) => [name, pointers ? { ptr: pointers[name], ...toBun(s) } : toBun(s)]),
  );
}

const HELPER = `import { CFunction } from "bun:ffi";
self.onmessage = ({ data: [id, fn, args] }) => {
  const call = CFunction({ ptr: Number(fn), args: Array(8).fill("u64"), returns: "u64" });
  self.postMessage([id, call(...Array.from({ length: 8 }, (_, i) => args[i] ?? 0n))]);
};`;

type Call = (fn: bigint, args: readonly bigint[]) => Promise<bigint>;
const helpers = new Map<string, Call>();

/** A Worker that calls C for a queue. */
function helper(queue: string): Call {
  const found = helpers.get(queue);
  if (found) return found;
  const worker: Any = new Worker(URL.createObjectURL(new Blob([HELPER], { type: "text/javascript" })));
  const pending = new Map<number, (result: bigint) => void>();
  let last = 0;
  worker.unref();
  worker.onmessage = ({ data: [id, result] }: MessageEvent<[number, bigint]>) => {
    pending.get(id)!(BigInt(result));
    pending.delete(id);
    if (pending.size === 0) worker.unref();
  };
  const call: Call = (fn, args) =>
    new Promise((resolve) => {
      if (pending.size === 0) worker.ref();
      pending.set(++last, resolve);
      worker.postMessage([last, fn, args]);
    });
  helpers.set(queue, call);
  return call;
}

/** A socket of Bun's with what it did not take yet. */
async function openStream(fd: number, events: StreamEvents): Promise<Stream> {
  const waiting: Uint8Array[] = [];
  let isClosed = false;
  const send = (socket: Any): boolean => {
    while (waiting.length > 0) {
      const first = waiting[0]!, sent: number = socket.write(first);
      if (sent < first.length) {
        if (sent > 0) waiting[0] = first.subarray(sent);
        return false;
      }
      waiting.shift();
    }
    return true;
  };
  const closed = (): void => {
    if (isClosed) return;
    isClosed = true;
    events.closed();
  };
  const socket = await Bun.connect({
    fd,
    socket: {
      data: (_: unknown, bytes: Uint8Array) => events.bytes(bytes),
      drain: (socket: Any) => void (waiting.length > 0 && send(socket) && events.drained()),
      end: (socket: Any) => void socket.terminate(),
      error() {},
      close: closed,
    },
  });
  socket.unref();
  return {
    write(bytes) {
      if (isClosed) return true;
      waiting.push(bytes);
      return waiting.length === 1 && send(socket);
    },
    get unsentBytes() {
      return waiting.reduce((sum, { length }) => sum + length, 0);
    },
    close: () => socket.terminate(),
    ref: () => socket.ref(),
    unref: () => socket.unref(),
  };
}

/** {@linkcode Ffi} on `bun:ffi`. */
export const ffi: Ffi = {
  runtime: `bun ${Bun.version}`,
  arch: process.arch === "x64" ? "x64" : process.arch === "arm64" ? "arm64" : "other",
  open: (path, signatures) => dlopen(path, table(signatures)).symbols as Any,
  bind: (pointer, signature) => CFunction({ ptr: pointer, ...toBun(signature) } as Any) as Any,
  link: (addresses, signatures) => ({ symbols: linkSymbols(table(signatures, addresses)).symbols as Any, fast: true }),
  address: (pointer) => BigInt((pointer as Any) ?? 0),
  pointer: (address) => (address === 0n ? null : Number(address)) as Pointer | null,
  of(view) {
    void view.buffer; // moves a small array's storage to where it stays, before its address is taken
    return ptr(view as Any) as unknown as Pointer;
  },
  view: (pointer, byteLength, byteOffset = 0) =>
    byteLength === 0 ? new ArrayBuffer(0) : toArrayBuffer(pointer as Any, byteOffset, byteLength),
  string: (pointer) => new CString(pointer as Any).toString(),
  async listen(fd, onBytes) {
    const data = (_: unknown, bytes: Uint8Array): void => onBytes(bytes);
    const socket = await Bun.connect({ fd, socket: { data, error() {}, close() {} } });
    socket.unref();
    return { ref: () => socket.ref(), unref: () => socket.unref() };
  },
  stream: openStream,
  callElsewhere: (queue, fn, args) => helper(queue)(fn, args),
  mayReadVariable: () => true,
  mayRun: () => true,
  resolve(specifier) {
    try {
      return pathToFileURL(createRequire(import.meta.url).resolve(specifier)).href;
    } catch {
      return undefined;
    }
  },
};
