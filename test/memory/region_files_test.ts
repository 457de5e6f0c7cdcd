import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { SharedMemoryRegion, Tensor, type TensorRef } from "../../mod.ts";
import { encodeHeader, layOut, MAX_BLOCKS, overhead, SLOTS } from "../../src/memory/region_layout.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { changed, isThere, PAGE, pathOf, plant, Planted, regionBytes } from "./support.ts";

const FORBIDDEN = failure("NativeError", "REGION_FORBIDDEN");
const INVALID = failure("NativeError", "REGION_INVALID");
const open = (name: string) => () => SharedMemoryRegion.open(name);
const OTHER_USER = 12345;

/** Byte offsets within the header. */
const AT = { version: 8, headerLength: 12, byteLength: 16, dataOffset: 24, dataByteLength: 32, slots: 40, blocks: 44 };

afterEach(nothingLeft);

describe("opening a region refuses what lies at its name", () => {
  it("when it is a symlink to a region", () => {
    using region = SharedMemoryRegion.create(1);
    using link = new Planted((path) => symlinkSync(pathOf(region.name), path));
    assert.throws(open(link.name), { ...FORBIDDEN, message: /symlink/ });
  });

  it("when it is a symlink to nothing", () => {
    using link = new Planted((path) => symlinkSync("/no/such/file", path));
    assert.throws(open(link.name), FORBIDDEN);
  });

  it("when it is a directory", () => {
    using directory = new Planted((path) => mkdirSync(path));
    assert.throws(open(directory.name), FORBIDDEN);
  });

  it("when it is a FIFO, and does not wait at it", () => {
    using fifo = new Planted((path) => assert.equal(spawnSync("mkfifo", ["-m", "600", path]).status, 0));
    assert.throws(open(fifo.name), FORBIDDEN);
  });

  for (const mode of [0o644, 0o640, 0o606, 0o601, 0o666]) {
    it(`when its mode is ${mode.toString(8)}`, () => {
      using file = plant(regionBytes(1));
      chmodSync(file.path, mode);
      assert.throws(open(file.name), FORBIDDEN);
    });
  }

  it("when it is another user's", { skip: effectiveUser() !== 0 && "only root can give a file away" }, () => {
    using file = plant(regionBytes(1));
    chownSync(file.path, OTHER_USER, OTHER_USER);
    assert.throws(open(file.name), { ...FORBIDDEN, message: /12345/ });
  });
});

describe("opening a region takes a file that is as it should be", () => {
  it("and finds its data", () => {
    using real = SharedMemoryRegion.create(100);
    real.bytes[99] = 7;
    using file = plant(changed(real.name, () => {}));
    using copy = SharedMemoryRegion.open(file.name);
    assert.deepEqual([copy.byteLength, copy.bytes[99], copy.owner], [100, 7, false]);
  });

  it("and removes it as the last one, as nobody who made it lives", () => {
    using file = plant(regionBytes(1));
    SharedMemoryRegion.open(file.name)[Symbol.dispose]();
    assert.ok(!isThere(file.name));
  });
});

describe("opening a region refuses as invalid", () => {
  for (const byteLength of [0, 1, 127]) {
    it(`a file of ${byteLength} bytes`, () => {
      using file = plant(regionBytes(1).subarray(0, byteLength));
      assert.throws(open(file.name), INVALID);
    });
  }

  it("a file of zeros", () => {
    using file = plant(new Uint8Array(3 * PAGE));
    assert.throws(open(file.name), INVALID);
  });

  const most = 2n ** 64n - 1n, half = 0xffffffff;
  const changes: [string, (header: DataView, byteLength: number) => void][] = [
    ["a wrong first byte", (header) => header.setUint8(0, 0x63)],
    ["a wrong last byte of the magic", (header) => header.setUint8(7, 0)],
    ["the magic in the other order", (header) => header.setBigUint64(0, header.getBigUint64(0, true), false)],
    ["version 0", (header) => header.setUint32(AT.version, 0, true)],
    ["version 2", (header) => header.setUint32(AT.version, 2, true)],
    ["a longer header", (header) => header.setUint32(AT.headerLength, 256, true)],
    ["no header", (header) => header.setUint32(AT.headerLength, 0, true)],
    ["a byte more than the file has", (header, bytes) => header.setBigUint64(AT.byteLength, BigInt(bytes + 1), true)],
    [
      "a page less than the file has",
      (header, bytes) => header.setBigUint64(AT.byteLength, BigInt(bytes - PAGE), true),
    ],
    ["a size of 0", (header) => header.setBigUint64(AT.byteLength, 0n, true)],
    ["a size of 2^64 - 1", (header) => header.setBigUint64(AT.byteLength, most, true)],
    ["data that begin in the tables", (header) => header.setBigUint64(AT.dataOffset, BigInt(PAGE), true)],
    ["data that begin at 0", (header) => header.setBigUint64(AT.dataOffset, 0n, true)],
    ["data that begin too late", (header) => header.setBigUint64(AT.dataOffset, BigInt(3 * PAGE), true)],
    ["data that begin at 2^64 - 1", (header) => header.setBigUint64(AT.dataOffset, most, true)],
    ["a byte of data too many", (header) => header.setBigUint64(AT.dataByteLength, BigInt(PAGE + 1), true)],
    ["2^64 - 1 bytes of data", (header) => header.setBigUint64(AT.dataByteLength, most, true)],
    ["2^63 bytes of data", (header) => header.setBigUint64(AT.dataByteLength, 2n ** 63n, true)],
    ["a participant too many", (header) => header.setUint32(AT.slots, SLOTS + 1, true)],
    ["no participants", (header) => header.setUint32(AT.slots, 0, true)],
    ["2^32 - 1 participants", (header) => header.setUint32(AT.slots, half, true)],
    ["a block, and no table of blocks", (header) => header.setUint32(AT.blocks, 1, true)],
    ["as many blocks as there may be", (header) => header.setUint32(AT.blocks, MAX_BLOCKS, true)],
    ["a block more than there may be", (header) => header.setUint32(AT.blocks, MAX_BLOCKS + 1, true)],
    ["2^32 - 1 blocks", (header) => header.setUint32(AT.blocks, half, true)],
  ];
  for (const [what, change] of changes) {
    it(`a header of ${what}`, () => {
      using real = SharedMemoryRegion.create(PAGE);
      using file = plant(changed(real.name, (header) => change(header, header.byteLength)));
      assert.throws(open(file.name), INVALID);
    });
  }

  it("a region that was cut after its header", () => {
    using real = SharedMemoryRegion.create(PAGE);
    const bytes = new Uint8Array(readFileSync(pathOf(real.name)));
    for (const byteLength of [128, PAGE, 2 * PAGE, 3 * PAGE - 1]) {
      using file = plant(bytes.subarray(0, byteLength));
      assert.throws(open(file.name), INVALID);
    }
  });

  it("a region that something was added to", () => {
    using file = plant(regionBytes(1));
    writeFileSync(file.path, new Uint8Array(1), { flag: "a" });
    assert.throws(open(file.name), INVALID);
  });

  it("a cut region whose header agrees, but has no room for the tables it tells of", () => {
    const bytes = regionBytes(PAGE, 64).subarray(0, 2 * PAGE);
    new DataView(bytes.buffer).setBigUint64(AT.byteLength, BigInt(bytes.length), true);
    new DataView(bytes.buffer).setBigUint64(AT.dataByteLength, 0n, true);
    using file = plant(bytes);
    assert.throws(open(file.name), INVALID);
  });

  it("more blocks than there may be, also where the file has room for them", () => {
    const blocks = MAX_BLOCKS + 1, byteLength = overhead(blocks) + PAGE;
    const bytes = encodeHeader({ ...layOut(1, 0), blockCapacity: blocks, dataOffset: overhead(blocks), byteLength });
    using file = plant(bytes);
    truncateSync(file.path, byteLength); // all but the header is a hole
    assert.throws(open(file.name), { ...INVALID, message: /blocks/ });
  });

  it("an empty file that a reference leads to", () => {
    using file = plant(new Uint8Array(0));
    const ref: TensorRef = {
      v: 1,
      region: file.name,
      generation: 1,
      byteOffset: 3 * PAGE,
      byteLength: 1,
      dtype: "uint8",
      shape: [1],
    };
    assert.throws(() => Tensor.open(ref), INVALID);
  });
});
