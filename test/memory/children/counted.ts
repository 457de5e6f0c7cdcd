// Counts what sweeps find in a /dev/shm of its own, and prints it: see ../sweep_counts_test.ts.
import { writeFileSync } from "node:fs";
import { processIdentity } from "../../../ffi/process_identity.ts";
import { sweepSharedMemory } from "../../../mod.ts";
import { Arena } from "../../../src/memory/arena.ts";
import { Quota } from "../../../src/memory/quota.ts";
import { RegionTables } from "../../../src/memory/region_tables.ts";
import { findLeftOvers, regionNames } from "../../../src/memory/sweep_directory.ts";
import { sharedMemoryCapabilities } from "../../../src/memory/shared_memory_capabilities.ts";
import { freshName, pathOf, regionBytes } from "../support.ts";

const counts: unknown[] = [];

function count(): void {
  const before = findLeftOvers(), swept = sweepSharedMemory();
  counts.push([before, swept, findLeftOvers(), sweepSharedMemory()]);
}

count(); // nothing

for (const pages of [1, 10, 100]) writeFileSync(pathOf(freshName()), regionBytes(pages * 4096), { mode: 0o600 });
writeFileSync(pathOf(freshName()), new Uint8Array(4096), { mode: 0o600 }); // nobody's
writeFileSync(pathOf("other"), regionBytes(1), { mode: 0o600 });
const told = sharedMemoryCapabilities().leftOver;
count(); // three regions

const arena = new Arena("named", 1 << 20), quota = new Quota("all", Infinity), { tables } = arena.region;
const mine = arena.allocate(1000, quota)!, theirs = arena.allocate(5000, quota)!;
count(); // the living alone

tables.use(9, processIdentity(), 3); // no lock: it is dead
for (const { index } of [mine, theirs]) tables.hold(index, RegionTables.bitOf(9));
theirs.release();
count(); // one block, the other one is held
const left = { blocks: arena.blocks, bytes: quota.bytesInUse, isUsed: tables.isUsed(9) };

mine.release();
arena.retire();
console.log(JSON.stringify({ counts, told, left, names: regionNames().length }));
console.log("END");
