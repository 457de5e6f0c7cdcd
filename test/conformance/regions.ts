import assert from "node:assert/strict";
import { existsSync, readlinkSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { statusOf } from "../../ffi/descriptors.ts";
import { ffi } from "../../ffi/mod.ts";
import { SharedMemoryRegion } from "../../mod.ts";
import { liveHandles } from "../../src/handle.ts";
import { Region } from "../../src/memory/region.ts";
import type { Backend } from "../../src/memory/region_file.ts";
import { collectUntil } from "../support/gc.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const PAGE = 4096, LARGE = 1 << 20;
/** Participants of a region beside the one that made it. */
const MOST_JOINED = 62;

/** The data of a region as a participant sees it by a mapping of its own. */
function dataOf({ mapping, layout }: Region): Uint8Array<ArrayBuffer> {
  return new Uint8Array(ffi.view(mapping.at(layout.dataOffset), layout.dataByteLength));
}

/** A participant of its own, as another process would be, and what it sees. */
function join(name: string): Disposable & { readonly region: Region; readonly bytes: Uint8Array<ArrayBuffer> } {
  const region = Region.join(name), bytes = dataOf(region);
  const close = () => {
    bytes.buffer.transfer(0);
    region.close();
  };
  return { region, bytes, [Symbol.dispose]: close };
}

/** What regions of every backend do. */
export function regionsOf(backend: Backend): void {
  const create = (byteLength: number) => SharedMemoryRegion.create(byteLength, { backend });

  describe(`a ${backend} region`, () => {
    afterEach(nothingLeft);

    it("has exactly the bytes that were asked for, all of them zero", () => {
      for (const byteLength of [1, 1000, PAGE, PAGE + 1, LARGE]) {
        using region = create(byteLength);
        assert.deepEqual([region.byteLength, region.bytes.length, region.bytes.buffer.byteLength], [
          byteLength,
          byteLength,
          byteLength,
        ]);
        assert.ok(region.bytes.every((byte) => byte === 0));
      }
    });

    it("has all of its memory from the start, and no more", () => {
      using region = create(LARGE + 1);
      const { byteLength, allocatedBytes } = statusOf(region.descriptor);
      assert.equal(byteLength, 2 * PAGE + LARGE + PAGE);
      assert.ok(allocatedBytes >= byteLength);
    });

    it("starts at a page", () => {
      using region = create(100);
      assert.equal(ffi.address(ffi.of(region.bytes)) % BigInt(PAGE), 0n);
    });

    it("keeps its first and its last byte, also where it is one byte", () => {
      for (const byteLength of [1, 2, LARGE]) {
        using region = create(byteLength);
        using other = join(region.name);
        region.bytes[0] = 3;
        region.bytes[byteLength - 1] = 7;
        assert.deepEqual([other.bytes[0], other.bytes[byteLength - 1]], [byteLength === 1 ? 7 : 3, 7]);
      }
    });

    it("is one memory for all who open it, by whichever mapping", () => {
      using region = create(LARGE);
      using same = SharedMemoryRegion.open(region.name);
      using other = join(region.name);
      region.bytes[LARGE - 1] = 5;
      other.bytes[0] = 6;
      assert.deepEqual([same.bytes[LARGE - 1], other.bytes[LARGE - 1], region.bytes[0], same.bytes[0]], [5, 5, 6, 6]);
      assert.notEqual(ffi.address(ffi.of(other.bytes)), ffi.address(ffi.of(region.bytes)));
    });

    it("knows who made it", () => {
      using region = create(1);
      using same = SharedMemoryRegion.open(region.name);
      assert.deepEqual([region.owner, same.owner, region.readOnly, same.readOnly], [true, false, false, false]);
      assert.equal(same.name, region.name);
    });

    it("gives the same array each time", () => {
      using region = create(1);
      assert.equal(region.bytes, region.bytes);
    });

    it("opened read-only sees what others write, and keeps its own writes to itself", () => {
      using region = create(2 * PAGE);
      using other = SharedMemoryRegion.open(region.name, { readOnly: true });
      region.bytes[0] = 1;
      assert.deepEqual([other.readOnly, other.bytes[0]], [true, 1]);
      other.bytes.fill(9, 0, PAGE);
      region.bytes[PAGE] = 2; // a page that was not written to there
      assert.deepEqual([region.bytes[0], region.bytes[1], other.bytes[0], other.bytes[PAGE]], [1, 0, 9, 2]);
    });

    it("can be opened by its descriptor, which stays the caller's", () => {
      using region = create(100);
      if (backend === "named") {
        const forbidden = failure("NativeError", "REGION_FORBIDDEN");
        assert.throws(() => SharedMemoryRegion.openDescriptor(region.descriptor), forbidden);
      } else {
        using same = SharedMemoryRegion.openDescriptor(region.descriptor);
        same.bytes[99] = 4;
        assert.deepEqual([same.name, same.owner, region.bytes[99]], [region.name, false, 4]);
      }
      assert.ok(statusOf(region.descriptor).regular);
    });

    it("empties every view of it when it is disposed, and cannot be used any more", () => {
      const region = create(100), { bytes } = region, part = bytes.subarray(10, 20);
      region[Symbol.dispose]();
      assert.deepEqual([region.disposed, bytes.length, part.length, bytes[0]], [true, 0, 0, undefined]);
      assert.throws(() => region.bytes, failure("ReferenceError", "DISPOSED"));
      assert.throws(() => region.descriptor, failure("ReferenceError", "DISPOSED"));
    });

    it("empties the views of a read-only opening alone", () => {
      using region = create(100);
      const other = SharedMemoryRegion.open(region.name, { readOnly: true }), { bytes } = other;
      other[Symbol.dispose]();
      assert.deepEqual([bytes.length, region.bytes.length], [0, 100]);
    });

    it("may be disposed twice, without a second user of it being hurt", () => {
      using region = create(100);
      const first = SharedMemoryRegion.open(region.name);
      using second = SharedMemoryRegion.open(region.name);
      first[Symbol.dispose]();
      first[Symbol.dispose]();
      region.bytes[0] = 8;
      assert.equal(second.bytes[0], 8);
    });

    it("stays for those who have it when its maker lets it go, and goes with the last of them", () => {
      const region = create(100), { name } = region, other = join(name);
      region.bytes[0] = 8;
      region[Symbol.dispose]();
      assert.equal(other.bytes[0], 8);
      other[Symbol.dispose]();
      assert.throws(() => SharedMemoryRegion.open(name), failure("NativeError", "REGION_NOT_FOUND"));
    });

    it("stays while this thread has it open a second time", () => {
      const region = create(100), other = SharedMemoryRegion.open(region.name);
      region[Symbol.dispose]();
      other.bytes[99] = 8;
      using late = join(other.name);
      assert.equal(late.bytes[99], 8);
      other[Symbol.dispose]();
      assert.equal(late.bytes[99], 8);
    });

    it("goes when it was dropped and collected", async () => {
      const name = (() => create(100).name)();
      assert.ok(await collectUntil(() => liveHandles().region === undefined));
      assert.throws(() => SharedMemoryRegion.open(name), failure("NativeError", "REGION_NOT_FOUND"));
    });

    it("closes what was passed on when it was dropped and collected", async () => {
      const link = (() => `/proc/self/fd/${create(100).descriptor}`)(), leadsTo = readlinkSync(link);
      assert.match(leadsTo, /shm|memfd/);
      assert.ok(await collectUntil(() => liveHandles().region === undefined));
      assert.ok(!existsSync(link) || readlinkSync(link) !== leadsTo); // the number may lead elsewhere by now
    });

    it("gives the same descriptor each time, which does not keep it alive for others", () => {
      const region = create(100), { descriptor, name } = region;
      assert.equal(region.descriptor, descriptor);
      region[Symbol.dispose]();
      assert.throws(() => SharedMemoryRegion.open(name), failure("NativeError", "REGION_NOT_FOUND"));
    });

    it("takes 62 beside its maker, and more when one of them has left", () => {
      using region = create(1);
      const joined = Array.from({ length: MOST_JOINED }, () => Region.join(region.name));
      assert.throws(() => Region.join(region.name), failure("NativeError", "REGION_FULL"));
      joined.pop()!.close();
      joined.push(Region.join(region.name));
      for (const one of joined) one.close();
    });

    it("leaves no descriptor open", () => {
      const region = create(1), fd = region.descriptor, other = join(region.name), otherFd = other.region.fd;
      region[Symbol.dispose]();
      other[Symbol.dispose]();
      assert.throws(() => statusOf(fd), /Bad file descriptor/);
      assert.throws(() => statusOf(otherFd), /Bad file descriptor/);
    });

    it("can be created by many and closed in any order", () => {
      const regions = Array.from({ length: 50 }, () => create(1));
      assert.equal(new Set(regions.map(({ name }) => name)).size, 50);
      for (const region of regions.sort((a, b) => a.name < b.name ? -1 : 1)) region[Symbol.dispose]();
    });

    for (const byteLength of [0, -1, 1.5, NaN, Infinity, 2 ** 60, "1" as unknown as number]) {
      it(`cannot have ${byteLength} bytes${typeof byteLength === "string" ? " as a text" : ""}`, () => {
        assert.throws(() => create(byteLength), failure("RangeError", "OUT_OF_RANGE"));
      });
    }

    it("cannot have more bytes than the machine", () => {
      for (const byteLength of [2 ** 50, Number.MAX_SAFE_INTEGER]) {
        assert.throws(() => create(byteLength), failure("MemoryError", "OUT_OF_MEMORY"));
      }
    });
  });
}
