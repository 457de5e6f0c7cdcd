import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterEach, describe, it } from "node:test";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { SharedMemoryAllocator, SharedMemoryRegion, sweepSharedMemory, Tensor, type TensorRef } from "../../mod.ts";
import { encodeHeader, layOut } from "../../src/memory/region_layout.ts";
import { RegionTables } from "../../src/memory/region_tables.ts";
import { findLeftOvers } from "../../src/memory/sweep_directory.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { Holder } from "./holder.ts";
import { freshName, isThere, PAGE, plant, Planted, regionBytes } from "./support.ts";

const NOT_FOUND = failure("NativeError", "REGION_NOT_FOUND");
const DEAD = { namespace: 1, pid: 1, startTime: 1 };

/** A region whose maker died while a reference to its one block was on its way, until a time. */
function sent(deadline: number): Uint8Array<ArrayBuffer> {
  const layout = layOut(64 * PAGE, 64), bytes = new Uint8Array(layout.byteLength).fill(7, layout.dataOffset);
  bytes.set(encodeHeader(layout));
  const tables = new RegionTables(layout, bytes.buffer);
  tables.use(0, DEAD, 3);
  tables.make(0, layout.dataOffset, 2 * PAGE, RegionTables.bitOf(0));
  tables.send(0, deadline);
  return bytes;
}

/** Memory that a file takes, in bytes. */
function taken(path: string): number {
  return statSync(path).blocks * 512;
}

afterEach(nothingLeft);

describe("sweepSharedMemory removes", () => {
  it("a region in which nobody lives, and says so", () => {
    using region = plant(regionBytes(1 << 20));
    const before = findLeftOvers(), swept = sweepSharedMemory();
    assert.ok(!isThere(region.name));
    assert.ok(before.count >= 1 && before.bytes >= 1 << 20);
    assert.ok(swept.count >= 1 && swept.bytes >= 1 << 20);
  });

  it("a region whose maker was killed", { timeout: 60_000 }, async () => {
    await using holder = await Holder.start<string>("region", 1 << 20);
    assert.ok(isThere(holder.ref));
    await holder.kill();
    sweepSharedMemory();
    assert.throws(() => SharedMemoryRegion.open(holder.ref), NOT_FOUND);
    assert.ok(!isThere(holder.ref));
  });

  it("an allocator's memory whose process was killed", { timeout: 60_000 }, async () => {
    await using holder = await Holder.start<TensorRef>("tensor");
    assert.ok(isThere(holder.ref.region));
    await holder.kill();
    sweepSharedMemory();
    assert.ok(!isThere(holder.ref.region));
    assert.throws(() => Tensor.open(holder.ref), failure("ReferenceError", "STALE_REFERENCE"));
  });

  it("what a process that was killed held of another one's memory", { timeout: 60_000 }, async () => {
    using allocator = new SharedMemoryAllocator();
    const tensor = allocator.tensor("uint8", [1 << 20]);
    await using holder = await Holder.start("open", JSON.stringify(tensor.ref));
    tensor[Symbol.dispose]();
    assert.equal(allocator.metrics().bytesInUse, 1 << 20);
    await holder.kill();
    sweepSharedMemory();
    assert.deepEqual([allocator.metrics().bytesInUse, allocator.metrics().tensors], [0, 0]);
  });

  it("what a reference to a living process's memory held too long", () => {
    using allocator = new SharedMemoryAllocator();
    const ref = allocator.tensor("uint8", [1000]).handOff({ ttlMs: 0 });
    sweepSharedMemory();
    assert.equal(allocator.metrics().bytesInUse, 0);
    assert.throws(() => Tensor.open(ref), failure("ReferenceError", "STALE_REFERENCE"));
  });

  it("memory for which a reference was too long on its way", () => {
    using region = plant(sent(Date.now() - 1));
    sweepSharedMemory();
    assert.ok(!isThere(region.name));
  });
});

describe("sweepSharedMemory leaves alone", () => {
  it("a region that this thread has open", () => {
    using region = SharedMemoryRegion.create(PAGE);
    region.bytes.fill(7);
    sweepSharedMemory();
    assert.ok(isThere(region.name));
    assert.ok(region.bytes.every((byte) => byte === 7));
  });

  it("a region that only another process has open", { timeout: 60_000 }, async () => {
    await using holder = await Holder.start<string>("region", PAGE);
    sweepSharedMemory();
    using region = SharedMemoryRegion.open(holder.ref);
    assert.ok(region.bytes.every((byte) => byte === 7));
  });

  it("what the living hold of memory whose maker was killed", { timeout: 60_000 }, async () => {
    await using holder = await Holder.start<TensorRef>("tensor");
    using tensor = Tensor.open(holder.ref).as("uint8");
    await holder.kill();
    sweepSharedMemory();
    using same = Tensor.open(holder.ref).as("uint8");
    assert.ok(tensor.data.every((byte) => byte === 7) && same.data.every((byte) => byte === 7));
    for (const each of [tensor, same]) each[Symbol.dispose]();
    assert.ok(!isThere(holder.ref.region)); // at once
  });

  it("memory for which a reference is on its way, whoever died meanwhile", { timeout: 60_000 }, async () => {
    await using holder = await Holder.start<TensorRef>("handOff", 600_000);
    await holder.kill();
    for (let i = 0; i < 3; i++) sweepSharedMemory();
    using tensor = Tensor.open(holder.ref).as("uint8");
    assert.ok(tensor.data.every((byte) => byte === 7));
    tensor[Symbol.dispose]();
    assert.ok(!isThere(holder.ref.region));
  });

  it("what a reference on its way to a living process's memory holds", () => {
    using allocator = new SharedMemoryAllocator();
    const ref = allocator.tensor("uint8", [1000]).handOff({ ttlMs: 600_000 });
    sweepSharedMemory();
    assert.equal(allocator.metrics().bytesInUse, 1024);
    Tensor.open(ref)[Symbol.dispose]();
    assert.equal(allocator.metrics().bytesInUse, 0);
  });

  it("of a region with a reference on its way no more than that needs", () => {
    using region = plant(sent(Date.now() + 600_000));
    const before = taken(region.path);
    sweepSharedMemory();
    assert.ok(taken(region.path) <= before - 61 * PAGE); // 62 of 64 pages of data
    const data = readFileSync(region.path).subarray(3 * PAGE, 5 * PAGE);
    assert.ok(data.every((byte) => byte === 7));
  });

  const planted: Record<string, (path: string) => void> = {
    "an empty file": (path) => writeFileSync(path, "", { mode: 0o600 }),
    "a file of another program": (path) => writeFileSync(path, new Uint8Array(3 * PAGE), { mode: 0o600 }),
    "a region of another version": (path) => {
      const bytes = regionBytes(1);
      bytes[8] = 2;
      writeFileSync(path, bytes, { mode: 0o600 });
    },
    "a region that was cut": (path) => writeFileSync(path, regionBytes(1).subarray(0, PAGE), { mode: 0o600 }),
    "a region that others may read": (path) => {
      writeFileSync(path, regionBytes(1));
      chmodSync(path, 0o644);
    },
    "a folder": (path) => mkdirSync(path),
    "a FIFO": (path) => void spawnSync("mkfifo", ["-m", "600", path]),
  };
  for (const [what, put] of Object.entries(planted)) {
    it(`${what} that has a region's name`, () => {
      using file = new Planted(put);
      sweepSharedMemory();
      assert.ok(isThere(file.name));
    });
  }

  it("another user's region", { skip: effectiveUser() !== 0 && "only root can give a file away" }, () => {
    using file = plant(regionBytes(1));
    chownSync(file.path, 12345, 12345);
    sweepSharedMemory();
    assert.ok(isThere(file.name));
  });

  it("a region's bytes under another name, and a symlink to them", () => {
    using other = new Planted((path) => writeFileSync(path, regionBytes(1), { mode: 0o600 }), `${freshName()}.bak`);
    using link = new Planted((path) => symlinkSync(other.path, path));
    sweepSharedMemory();
    assert.ok(isThere(other.name) && lstatSync(link.path).isSymbolicLink());
  });
});
