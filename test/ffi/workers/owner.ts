// A Worker that leaves notes in its ledger and calls in flight: see reaper_test.ts.
import { parentPort, workerData } from "node:worker_threads";
import { cstring } from "../../../ffi/cstring.ts";
import { functionPointer, libc } from "../../../ffi/libc.ts";
import { ffi } from "../../../ffi/mod.ts";
import { mapMemory } from "../../../ffi/native_memory.ts";
import { callNative } from "../../../ffi/process/calls.ts";
import { LEDGER, note, strike } from "../../../ffi/process/ledger.ts";
import { owner } from "../../../ffi/process/owner.ts";
import { processBlock } from "../../../ffi/process/shared.ts";

const { block, calls, notes } = workerData as { block: string; calls: number; notes: number };
const { address } = processBlock(block, 4096), O_CLOEXEC = 0x80000;
const strcat = ffi.address(functionPointer("strcat")), strlen = ffi.address(functionPointer("strlen"));

function native(bytes: Uint8Array): bigint {
  const memory = mapMemory(4096);
  new Uint8Array(ffi.view(memory.pointer, bytes.length)).set(bytes);
  return memory.address;
}

// What the reaper calls is seen by the texts that it strings together in the block, and by the file that it closes.
note(strcat, address, native(cstring("last ")), LEDGER.callLast);
note(strcat, address, native(cstring("first ")), LEDGER.call);
strike(note(strcat, address, native(cstring("struck "))));
const fd = libc().open(cstring("/dev/null"), O_CLOEXEC);
const fds = BigUint64Array.of(0n, BigInt(fd), 0n);
note(ffi.address(functionPointer("close")), native(new Uint8Array(fds.buffer)), 3n, LEDGER.callEach);
for (let i = 0; i < notes; i++) note(strlen, address);
for (let i = 0; i < calls; i++) void callNative("run", functionPointer("usleep"), [50_000n]);
parentPort!.postMessage([owner().index, fd]);
parentPort!.on("message", () => {});
