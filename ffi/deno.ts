import net from "node:net";
import { trampolines } from "./trampolines.ts";
import type { Ffi, Pointer } from "./runtime.ts";

// deno-lint-ignore no-explicit-any -- the signature vocabulary is Deno's own, and its pointers are as opaque as ours
type Any = any;

/** {@linkcode Ffi} on `Deno.dlopen`. */
export const ffi: Ffi = {
  runtime: `deno ${Deno.version.deno}`,
  arch: Deno.build.arch === "x86_64" ? "x64" : Deno.build.arch === "aarch64" ? "arm64" : "other",
  open: (path, signatures) => Deno.dlopen(path, signatures as Any).symbols as Any,
  bind(pointer, signature) {
    const fn = new Deno.UnsafeFnPointer(pointer as Any, signature as Any);
    return ((...args: Any[]) => (fn as Any).call(...args)) as Any;
  },
  link(addresses, signatures) {
    try {
      return { symbols: trampolines(ffi, addresses, signatures), fast: true };
    } catch (cause) {
      const bound = Object.entries(signatures).map(([name, s]) => [name, ffi.bind(addresses[name]!, s)]);
      return { symbols: Object.fromEntries(bound), fast: (cause as Error).message };
    }
  },
  address: (pointer) => Deno.UnsafePointer.value(pointer as Any),
  pointer: (address) => Deno.UnsafePointer.create(address) as Pointer | null,
  of: (view) => Deno.UnsafePointer.of(view as Any) as unknown as Pointer,
  view: (pointer, byteLength, byteOffset = 0) =>
    byteLength === 0
      ? new ArrayBuffer(0)
      : Deno.UnsafePointerView.getArrayBuffer(pointer as Any, byteLength, byteOffset),
  string: (pointer) => Deno.UnsafePointerView.getCString(pointer as Any),
  listen(fd, onBytes) {
    const socket = new net.Socket({ fd, readable: true, writable: false });
    socket.on("data", onBytes);
    socket.on("error", () => {});
    socket.unref();
    return Promise.resolve({ ref: () => void socket.ref(), unref: () => void socket.unref() });
  },
  stream(fd, events) {
    const socket = new net.Socket({ fd, readable: true, writable: true });
    socket.on("data", (bytes) => events.bytes(bytes as Uint8Array));
    socket.on("drain", () => events.drained());
    socket.on("error", () => {}); // a close follows
    socket.on("close", () => events.closed());
    socket.unref();
    return Promise.resolve({
      write: (bytes) => socket.write(bytes),
      get unsentBytes() {
        return socket.writableLength;
      },
      close: () => void socket.destroy(),
      ref: () => void socket.ref(),
      unref: () => void socket.unref(),
    });
  },
  callElsewhere(_queue, fn, args) {
    const parameters = new Array(8).fill("u64"), words = Array.from(parameters, (_, i) => args[i] ?? 0n);
    const definition = { parameters, result: "u64", nonblocking: true } as const;
    return new Deno.UnsafeFnPointer(Deno.UnsafePointer.create(fn)!, definition as Any).call(...(words as Any)) as Any;
  },
  mayReadVariable: (variable) => Deno.permissions.querySync({ name: "env", variable }).state === "granted",
  mayRun: (command) => Deno.permissions.querySync({ name: "run", command }).state === "granted",
  resolve(specifier) {
    const resolved = import.meta.resolve(`npm:${specifier}`);
    return resolved.startsWith("file:") ? resolved : undefined;
  },
};
