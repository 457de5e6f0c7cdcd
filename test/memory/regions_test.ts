import assert from "node:assert/strict";
import { once } from "node:events";
import { unlinkSync } from "node:fs";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { isSizeSealed, statusOf } from "../../ffi/descriptors.ts";
import { errno } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { ERRNO } from "../../ffi/system_failure.ts";
import { SharedMemoryRegion } from "../../mod.ts";
import { openFile } from "../../src/memory/region_file.ts";
import { Region } from "../../src/memory/region.ts";
import { regionNames } from "../../src/memory/sweep_directory.ts";
import { regionsOf } from "../conformance/regions.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { isThere, pathOf } from "./support.ts";

const NOT_FOUND = failure("NativeError", "REGION_NOT_FOUND");
const MADE = 400;

for (const backend of ["named", "memfd"] as const) regionsOf(backend);

describe("a region's file in /dev/shm", () => {
  afterEach(nothingLeft);

  it("has the region's name, and is this user's alone", () => {
    using region = SharedMemoryRegion.create(1);
    assert.match(region.name, /^coload-[0-9a-f]{32}$/);
    assert.equal(statusOf(region.descriptor).mode, 0o600);
    assert.ok(isThere(region.name));
  });

  it("is gone with the last who has it open", () => {
    const region = SharedMemoryRegion.create(1), other = Region.join(region.name);
    region[Symbol.dispose]();
    assert.ok(isThere(region.name));
    other.close();
    assert.ok(!isThere(region.name));
  });

  it("may be unlinked while it is in use: those who have it go on, and nobody comes to it", () => {
    using region = SharedMemoryRegion.create(100);
    const other = Region.join(region.name);
    unlinkSync(pathOf(region.name));
    using same = SharedMemoryRegion.open(region.name); // this thread has it
    region.bytes[0] = 9;
    assert.equal(same.bytes[0], 9);
    assert.throws(() => Region.join(region.name), NOT_FOUND);
    other.close();
  });

  it("appears complete, however often somebody looks", async () => {
    const worker = new Worker(new URL("./workers/maker.ts", import.meta.url), { workerData: MADE });
    const found = new Map<string, string>();
    let made: string[] | undefined;
    worker.once("message", (names) => made = names);
    const ended = once(worker, "exit");
    for (; made === undefined; await setImmediate()) {
      for (const name of regionNames()) {
        try {
          openFile(name).descriptor[Symbol.dispose]();
        } catch (error) {
          found.set(name, (error as { code: string }).code);
        }
      }
    }
    await ended;
    const codes = new Set(made.map((name) => found.get(name) ?? "REGION_NOT_FOUND"));
    assert.deepEqual([made.length, [...codes]], [MADE, ["REGION_NOT_FOUND"]]);
    assert.ok(!made.some(isThere));
  });
});

describe("a memfd region's file", () => {
  const c = ffi.open("libc.so.6", { ftruncate: { parameters: ["i32", "i64"], result: "i32" } });

  it("has no name in /dev/shm, and a region's name that tells where it is", () => {
    using region = SharedMemoryRegion.create(1, { backend: "memfd" });
    assert.match(region.name, new RegExp(`^memfd-\\d+-${process.pid}-\\d+-\\d+-[0-9a-f]{32}$`));
    assert.ok(!isThere(region.name));
  });

  for (const byteLength of [0n, 4096n, 1n << 30n]) {
    it(`cannot be made ${byteLength} bytes long by anybody who has it`, () => {
      using region = SharedMemoryRegion.create(100, { backend: "memfd" });
      const other = Region.join(region.name);
      for (const fd of [region.descriptor, other.fd]) {
        const result = c.ftruncate(fd, byteLength), error = errno();
        assert.deepEqual([result, error], [-1, ERRNO.EPERM]);
      }
      assert.ok(isSizeSealed(region.descriptor));
      assert.deepEqual([region.bytes.length, region.bytes[99]], [100, 0]);
      other.close();
    });
  }

  it("is not to be found any more when its maker has let it go, which others survive", () => {
    const region = SharedMemoryRegion.create(100, { backend: "memfd" }), other = Region.join(region.name);
    region[Symbol.dispose]();
    assert.throws(() => Region.join(region.name), NOT_FOUND);
    assert.equal(new Uint8Array(ffi.view(other.mapping.at(other.layout.dataOffset), 100))[99], 0);
    other.close();
  });

  it("cannot be confused with one that has its descriptor's number now", () => {
    const region = SharedMemoryRegion.create(1, { backend: "memfd" }), numbers = region.name.split("-").slice(0, 5);
    region[Symbol.dispose]();
    using next = SharedMemoryRegion.create(1, { backend: "memfd" });
    assert.deepEqual(next.name.split("-").slice(0, 5), numbers); // the lowest descriptor that is free
    assert.throws(() => SharedMemoryRegion.open(region.name), NOT_FOUND);
  });
});
