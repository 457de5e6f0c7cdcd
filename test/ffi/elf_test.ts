import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cstring } from "../../ffi/cstring.ts";
import { MACHINE, sharedObject } from "../../ffi/elf.ts";
import { functionPointer, libc } from "../../ffi/libc.ts";
import { memoryFile } from "../../ffi/memory_file.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { jump } from "../../ffi/trampolines.ts";

const RTLD_NOW = 2, arch = ffi.arch === "arm64" ? "arm64" : "x64";

/** Opens bytes as a library; `null` when the loader refuses them. */
function load(bytes: Uint8Array<ArrayBuffer>): Pointer | null {
  using file = memoryFile(ffi, "coload-test", bytes);
  return libc().dlopen(cstring(file.path), RTLD_NOW);
}

describe("sharedObject", () => {
  it("exports functions that the loader finds and that run", () => {
    const names = Array.from({ length: 200 }, (_, i) => i === 0 ? "labs" : `labs_by_another_name_${i}`);
    const code = jump(ffi.address(functionPointer("labs")), arch);
    const library = load(sharedObject(names.map((name) => ({ name, code })), MACHINE[arch]));
    for (const name of names) {
      const call = ffi.bind(libc().dlsym(library, cstring(name))!, { parameters: ["i64"], result: "i64" });
      assert.equal(call(-3n), 3n);
    }
    assert.equal(libc().dlsym(library, cstring("not_there")), null);
  });

  it("exports zeroed data that can be written", () => {
    const library = load(sharedObject([{ name: "data", dataByteLength: 10_000 }], MACHINE[arch]));
    const bytes = new Uint8Array(ffi.view(libc().dlsym(library, cstring("data"))!, 10_000));
    assert.ok(bytes.every((byte) => byte === 0));
    bytes[9999] = 1;
  });

  it("is a new library each time, whatever its descriptor's number", () => {
    const open = (): Pointer => load(sharedObject([{ name: "data", dataByteLength: 64 }], MACHINE[arch]))!;
    const addresses = Array.from({ length: 5 }, () => ffi.address(libc().dlsym(open(), cstring("data"))));
    assert.equal(new Set(addresses).size, 5);
  });

  it("is refused by the loader when it is cut short or of another machine", () => {
    const bytes = sharedObject([{ name: "data", dataByteLength: 64 }], MACHINE[arch]);
    assert.equal(load(bytes.slice(0, 100)), null);
    assert.equal(
      load(sharedObject([{ name: "data", dataByteLength: 64 }], MACHINE[arch === "x64" ? "arm64" : "x64"])),
      null,
    );
  });
});
