import { MACHINE, sharedObject } from "./elf.ts";
import { checkExecutableMemory } from "./executable_memory.ts";
import { memoryFile } from "./memory_file.ts";
import type { Ffi, Pointer, Signatures, Symbols } from "./runtime.ts";

/** Machine code that jumps to an address: `mov rax, imm64; jmp rax`, or `ldr x16, #8; br x16; .quad address`. */
export function jump(address: bigint, arch: "x64" | "arm64"): Uint8Array {
  const code = new Uint8Array(16), view = new DataView(code.buffer);
  if (arch === "x64") {
    code.set([0x48, 0xb8]);
    view.setBigUint64(2, address, true);
    code.set([0xff, 0xe0], 10);
  } else {
    view.setUint32(0, 0x58000050, true);
    view.setUint32(4, 0xd61f0200, true);
    view.setBigUint64(8, address, true);
  }
  return code;
}

/**
 * Opens a shared object made in memory, whose every symbol jumps to one of the addresses: a runtime that calls the
 * symbols of a library faster than bare function pointers then calls these at C speed.
 *
 * @throws {Error} where the system forbids executable memory, or the architecture is unknown.
 */
export function trampolines<S extends Signatures>(
  ffi: Ffi,
  addresses: { readonly [K in keyof S]: Pointer },
  signatures: S,
): Symbols<S> {
  checkExecutableMemory(ffi);
  const arch = ffi.arch;
  if (arch === "other") throw new Error("no trampoline code for this architecture");
  const symbols = Object.keys(signatures).map((name) => ({ name, code: jump(ffi.address(addresses[name]!), arch) }));
  using file = memoryFile(ffi, "coload-trampolines", sharedObject(symbols, MACHINE[arch]));
  return ffi.open(file.path, signatures);
}
