import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Ffi, Pointer } from "../../ffi/runtime.ts";

const LIBC = {
  abs: { parameters: ["i32"], result: "i32" },
  labs: { parameters: ["i64"], result: "i64" },
  ldexp: { parameters: ["f64", "i32"], result: "f64" },
  copysignf: { parameters: ["f32", "f32"], result: "f32" },
  strlen: { parameters: ["buffer"], result: "usize" },
  strchr: { parameters: ["pointer", "i32"], result: "pointer" },
  memset: { parameters: ["buffer", "i32", "usize"], result: "void" },
  memcpy: { parameters: ["buffer", "pointer", "usize"], result: "pointer" },
  calloc: { parameters: ["usize", "usize"], result: "pointer" },
  free: { parameters: ["pointer"], result: "void" },
  getenv: { parameters: ["buffer"], result: "pointer" },
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
  ntohl: { parameters: ["u32"], result: "u32" },
  strtoull: { parameters: ["buffer", "pointer", "i32"], result: "u64" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i64" },
  close: { parameters: ["i32"], result: "i32" },
} as const;
const AF_UNIX = 1, SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000;
const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(`${value}\0`);

/** What every {@linkcode Ffi} does. */
export function runs(ffi: Ffi): void {
  const c = ffi.open("libc.so.6", LIBC);
  const symbol = (name: string): Pointer => c.dlsym(null, text(name))!;

  describe(`the FFI of ${ffi.runtime}: open`, () => {
    it("calls with every type, to its last bit", () => {
      assert.equal(c.abs(-7), 7);
      assert.equal(c.labs(-(2n ** 62n)), 2n ** 62n);
      assert.equal(c.ldexp(0.75, 3), 6);
      assert.equal(c.copysignf(1.5, -2), -1.5);
      assert.equal(c.ntohl(0xff), 0xff000000);
      assert.equal(c.strtoull(text("18446744073709551615"), null, 10), 2n ** 64n - 1n);
      assert.equal(c.strlen(text("a string")), 8n);
    });

    it("gives null for NULL and takes it", () => {
      assert.equal(c.getenv(text("COLOAD_NO_SUCH_VARIABLE")), null);
      assert.equal(c.free(null), undefined);
    });

    it("lends typed arrays, parts of them and small ones", () => {
      const bytes = new Uint8Array(16), floats = new Float32Array(2);
      assert.equal(c.memset(bytes.subarray(4, 8), 7, 4n), undefined);
      assert.deepEqual([...bytes.subarray(2, 10)], [0, 0, 7, 7, 7, 7, 0, 0]);
      c.memset(floats, 0x40, 8n);
      assert.equal(floats[1], new Float32Array(new Uint8Array(4).fill(0x40).buffer)[0]);
    });

    it("refuses a library or a symbol that is not there", () => {
      assert.throws(() => ffi.open("/no/such/library.so", LIBC));
      assert.throws(() => ffi.open("libc.so.6", { no_such_symbol: { parameters: [], result: "void" } }));
    });
  });

  describe(`the FFI of ${ffi.runtime}: pointers`, () => {
    it("are addresses and back", () => {
      const pointer = c.calloc(4n, 8n)!, address = ffi.address(pointer);
      assert.ok(address > 0n);
      assert.equal(ffi.address(ffi.pointer(address)), address);
      c.free(pointer);
    });

    it("of 0 are null, and null is 0", () => {
      assert.equal(ffi.pointer(0n), null);
      assert.equal(ffi.address(null), 0n);
    });

    it("of an array are where it lies, small or large, and where its parts do", () => {
      for (const length of [1, 8, 1000, 100_000]) {
        const array = new Float64Array(length).fill(3), start = ffi.address(ffi.of(array));
        assert.equal(ffi.address(ffi.of(array.subarray(length - 1))), start + BigInt(8 * (length - 1)));
        void array.buffer;
        assert.equal(ffi.address(ffi.of(array)), start);
        const copy = new Float64Array(length);
        c.memcpy(copy, ffi.of(array), BigInt(8 * length));
        assert.ok(copy.every((value) => value === 3));
      }
    });
  });

  describe(`the FFI of ${ffi.runtime}: view and string`, () => {
    it("see native memory without a copy", () => {
      const pointer = c.calloc(64n, 1n)!;
      const one = new Uint8Array(ffi.view(pointer, 64)), other = new Uint32Array(ffi.view(pointer, 8));
      one[4] = 9;
      assert.deepEqual([...other], [0, 9]);
      assert.equal(ffi.view(pointer, 0).byteLength, 0);
      c.free(pointer);
    });

    it("read UTF-8 up to its NUL", () => {
      const bytes = text("grüße 漢字\0rest"), pointer = ffi.of(bytes);
      assert.equal(ffi.string(pointer), "grüße 漢字");
      assert.equal(ffi.string(c.strchr(pointer, "e".charCodeAt(0))!), "e 漢字");
    });
  });

  describe(`the FFI of ${ffi.runtime}: functions by address`, () => {
    it("are bound one by one", () => {
      const bound = ffi.bind(symbol("labs"), { parameters: ["i64"], result: "i64" });
      assert.equal(bound(-5n), 5n);
      const nothing = ffi.bind(symbol("getenv"), { parameters: ["buffer"], result: "pointer" });
      assert.equal(nothing(text("COLOAD_NO_SUCH_VARIABLE")), null);
    });

    it("are linked together, at C speed", () => {
      const { labs, strlen, ldexp } = LIBC, signatures = { labs, strlen, ldexp };
      const addresses = { labs: symbol("labs"), strlen: symbol("strlen"), ldexp: symbol("ldexp") };
      for (let again = 0; again < 3; again++) {
        const { symbols, fast } = ffi.link(addresses, signatures);
        assert.equal(fast, true);
        assert.equal(symbols.labs(-5n), 5n);
        assert.equal(symbols.strlen(text("four")), 4n);
        assert.equal(symbols.ldexp(1, 4), 16);
      }
    });

    it("are called elsewhere, while the event loop goes on", async () => {
      const call = ffi.callElsewhere("test", ffi.address(symbol("labs")), [BigInt.asUintN(64, -5n)]);
      assert.equal(await call, 5n);
      let turns = 0, over = false;
      const sleeping = ffi.callElsewhere("test", ffi.address(symbol("usleep")), [20_000n]).then(() => over = true);
      for (; !over; turns++) await setImmediate();
      await sleeping;
      assert.ok(turns > 1);
    });
  });

  describe(`the FFI of ${ffi.runtime}: listen`, () => {
    it("tells of bytes that arrive at a socket, in order", async () => {
      const fds = new Int32Array(2), received: number[] = [], all = Promise.withResolvers<void>();
      assert.equal(c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
      const mailbox = await ffi.listen(fds[0]!, (bytes) => {
        received.push(...bytes);
        if (received.length === 1000) all.resolve();
      });
      mailbox.ref();
      for (let i = 0; i < 100; i++) {
        assert.equal(c.send(fds[1]!, Uint8Array.from({ length: 10 }, (_, k) => 10 * i + k), 10n, 0), 10n);
        if (i % 30 === 0) await setImmediate();
      }
      await all.promise;
      mailbox.unref();
      assert.ok(received.every((byte, i) => byte === i % 256));
      c.close(fds[1]!);
    });
  });

  describe(`the FFI of ${ffi.runtime}: resolve`, () => {
    it("finds files of npm packages, and says where there are none", () => {
      assert.match(ffi.resolve("onnxruntime-node/package.json") ?? "", /^file:.*\/package\.json$/);
      assert.equal(ffi.resolve("no-such-package-as-this/package.json"), undefined);
    });
  });
}
