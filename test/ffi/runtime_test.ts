import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cstring } from "../../ffi/cstring.ts";
import { errno, functionPointer, libc, strerror } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { runs } from "../conformance/ffi.ts";
import { mapMemory, offset, PROT, unmapMemory } from "../../ffi/native_memory.ts";

runs(ffi);

describe("errno", () => {
  it("is that of the call just before", () => {
    for (let i = 0; i < 100; i++) {
      assert.equal(libc().open(cstring(`/no/such/file/${i}`), 0), -1);
      assert.equal(errno(), 2);
      assert.equal(libc().close(-1), -1);
      assert.equal(errno(), 9);
    }
    assert.equal(strerror(2), "No such file or directory");
  });
});

describe("mapMemory", () => {
  it("is zeroed, writable and of whole pages", () => {
    const memory = mapMemory(10_000), bytes = new Uint8Array(ffi.view(memory.pointer, 10_000));
    assert.equal(memory.address % 4096n, 0n);
    assert.ok(bytes.every((byte) => byte === 0));
    bytes[9999] = 1;
    assert.equal(new Uint8Array(ffi.view(offset(memory, 9999), 1))[0], 1);
    assert.equal(libc().mprotect(memory.pointer, 4096n, PROT.READ), 0);
    unmapMemory(memory);
  });

  it("says what the system says when there is no more", () => {
    assert.throws(() => mapMemory(2 ** 50), /cannot map 1125899906842624 bytes: Cannot allocate memory/);
  });
});

describe("cstring", () => {
  it("ends in NUL, and holds no other", () => {
    assert.deepEqual([...cstring("aä")], [97, 0xc3, 0xa4, 0]);
    assert.throws(() => cstring("a\0b"), TypeError);
  });
});

describe("functionPointer", () => {
  it("finds what the C library has", () => {
    const strlen = ffi.bind(functionPointer("strlen"), { parameters: ["buffer"], result: "usize" });
    assert.equal(strlen(cstring("four")), 4n);
  });
});
