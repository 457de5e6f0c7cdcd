import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { ClientRegions } from "../../../src/worker/http/client_regions.ts";
import { plant, type Planted } from "../../memory/support.ts";
import { bytes, descriptors, LIMITS, part, read, refused } from "./regions_support.ts";

const before = descriptors();
afterEach(() => assert.equal(descriptors(), before));

describe("regions of clients", () => {
  it("are read and written where their memory lies", () => {
    using file = plant(bytes(64));
    using regions = new ClientRegions(LIMITS);
    regions.register("whole", { key: `/${file.name}`, offset: 0, byte_size: 64 });
    regions.register("end", { key: file.name, offset: 60, byte_size: 4 });
    assert.equal(descriptors(), before + 2);
    assert.deepEqual(read(regions, "whole", 10, 3), [11, 12, 13]);
    assert.deepEqual(read(regions, "end", 0, 4), [61, 62, 63, 64]);
    regions.write(part("end", 1, 2), Uint8Array.of(7, 8));
    assert.deepEqual(read(regions, "whole", 60, 4), [61, 7, 8, 64]);
    assert.deepEqual([...readFileSync(file.path).subarray(60)], [61, 7, 8, 64]);
    assert.deepEqual(read(regions, "whole", 64, 0), []);
  });

  it("are told of as they were registered, all or one", () => {
    using file = plant(bytes(64));
    using regions = new ClientRegions(LIMITS);
    assert.deepEqual(regions.status(undefined), []);
    regions.register("a", { key: `/${file.name}`, offset: null, byte_size: 64 });
    regions.register("b c", { key: file.name, offset: 8, byte_size: 8 });
    const a = { name: "a", key: `/${file.name}`, offset: 0, byte_size: 64 };
    const b = { name: "b c", key: file.name, offset: 8, byte_size: 8 };
    assert.deepEqual(regions.status(undefined), [a, b]);
    assert.deepEqual(regions.status("b c"), [b]);
    assert.throws(() => regions.status("c"), refused(404));
    assert.deepEqual([regions.count, regions.byteLength], [2, 72]);
  });

  it("go when they are unregistered, and may be registered again", () => {
    using file = plant(bytes(8));
    using regions = new ClientRegions(LIMITS);
    const body = { key: file.name, offset: 0, byte_size: 8 };
    regions.unregister("data");
    regions.unregister(undefined);
    regions.register("data", body);
    regions.unregister("data");
    assert.deepEqual(regions.status(undefined), []);
    assert.equal(descriptors(), before);
    assert.throws(() => read(regions, "data", 0, 8), refused(404));
    regions.register("data", body);
    regions.register("more", body);
    regions.unregister(undefined);
    assert.deepEqual([regions.count, regions.byteLength], [0, 0]);
    assert.equal(descriptors(), before);
  });

  it("are registered once under a name, whoever asks", () => {
    using file = plant(bytes(8));
    using regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 0, byte_size: 8 });
    const again = () => regions.register("data", { key: file.name, offset: 4, byte_size: 4 });
    assert.throws(again, refused(400, /already/));
    assert.deepEqual(regions.status("data"), [{ name: "data", key: file.name, offset: 0, byte_size: 8 }]);
  });

  it("are bounded in number and bytes", () => {
    using file = plant(bytes(64));
    using regions = new ClientRegions({ most: 3, mostBytes: 100 });
    const register = (name: string, byteSize: number): void =>
      regions.register(name, { key: file.name, offset: 0, byte_size: byteSize });
    register("a", 60);
    assert.throws(() => register("b", 41), refused(400, /100/));
    register("b", 40);
    regions.unregister("b");
    register("b", 20);
    register("c", 20);
    assert.throws(() => register("d", 1), refused(400, /3 regions/));
    regions.unregister("c");
    register("d", 1);
  });

  it("leave nothing when they are disposed of, twice too", () => {
    using file = plant(bytes(8));
    const regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 0, byte_size: 8 });
    const held = regions.hold([part("data", 0, 1)]);
    regions[Symbol.dispose]();
    assert.deepEqual(read(regions, "data", 7, 1), [8]);
    held[Symbol.dispose]();
    regions[Symbol.dispose]();
    assert.equal(descriptors(), before);
  });
});

describe("a part of a region", () => {
  it("of an unknown region is not found", () => {
    using regions = new ClientRegions(LIMITS);
    assert.throws(() => read(regions, "data", 0, 8), refused(404, /data/));
    assert.throws(() => regions.write(part("data", 0, 1), Uint8Array.of(1)), refused(404));
    assert.throws(() => regions.hold([part("data", 0, 1)]), refused(404));
  });

  it("lies within it, though its file goes on", () => {
    using file = plant(bytes(64));
    using regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 16, byte_size: 16 });
    const most = Number.MAX_SAFE_INTEGER;
    for (const [byteOffset, byteLength] of [[0, 17], [1, 16], [16, 1], [17, 0], [most, 1], [most, 0]] as const) {
      const there = part("data", byteOffset, byteLength);
      assert.throws(() => regions.read(there, new Uint8Array(byteLength)), refused(400, /has 16 bytes/));
      assert.throws(() => regions.write(there, new Uint8Array(byteLength)), refused(400, /has 16 bytes/));
    }
    assert.throws(() => regions.read(part("data", 0, most), new Uint8Array(1)), refused(400, /has 16 bytes/));
    assert.deepEqual([...readFileSync(file.path)], [...bytes(64)]);
  });

  it("is as long as what it is copied to or from", () => {
    using file = plant(bytes(64));
    using regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 0, byte_size: 64 });
    const wrong = { name: "RangeError", code: "INVALID_LENGTH" };
    assert.throws(() => regions.read(part("data", 0, 8), new Uint8Array(7)), wrong);
    assert.throws(() => regions.write(part("data", 0, 8), new Uint8Array(9)), wrong);
  });

  it("of memory that was cut short is gone, and does not come back by a write", () => {
    using file = plant(bytes(8192));
    using regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 0, byte_size: 8192 });
    truncateSync(file.path, 4096);
    assert.deepEqual(read(regions, "data", 4095, 1), [0]);
    for (const [byteOffset, byteLength] of [[0, 8192], [4096, 1], [4095, 2], [8191, 1]] as const) {
      assert.throws(() => read(regions, "data", byteOffset, byteLength), refused(400, /has shrunk/));
      const source = new Uint8Array(byteLength);
      assert.throws(() => regions.write(part("data", byteOffset, byteLength), source), refused(400, /has shrunk/));
    }
    assert.equal(statSync(file.path).size, 4096);
    truncateSync(file.path, 0);
    assert.throws(() => read(regions, "data", 0, 1), refused(400, /has shrunk/));
    writeFileSync(file.path, bytes(8192));
    assert.deepEqual(read(regions, "data", 1, 2), [2, 3]);
  });

  it("of memory whose name was taken away stays", () => {
    using file = plant(bytes(8));
    using regions = new ClientRegions(LIMITS);
    regions.register("data", { key: file.name, offset: 0, byte_size: 8 });
    rmSync(file.path);
    regions.write(part("data", 0, 1), Uint8Array.of(9));
    assert.deepEqual(read(regions, "data", 0, 2), [9, 2]);
    writeFileSync(file.path, bytes(8), { mode: 0o600 }); // another file by now
    assert.deepEqual(read(regions, "data", 0, 2), [9, 2]);
  });
});

describe("a region that an inference holds", () => {
  function held(): { regions: ClientRegions; file: Planted; body: object } & Disposable {
    const file = plant(bytes(8)), regions = new ClientRegions(LIMITS);
    const body = { key: file.name, offset: 0, byte_size: 8 };
    regions.register("data", body);
    const dispose = (): void => {
      regions[Symbol.dispose]();
      file[Symbol.dispose]();
    };
    return { regions, file, body, [Symbol.dispose]: dispose };
  }

  it("goes when the inference ends, and not before", () => {
    using made = held();
    const { regions, body } = made, inference = regions.hold([part("data", 0, 1), part("data", 0, 1)]);
    regions.unregister("data");
    regions.unregister("data");
    assert.equal(regions.status(undefined).length, 1);
    assert.deepEqual(read(regions, "data", 0, 1), [1]);
    assert.throws(() => regions.register("data", body), refused(400, /already/));
    inference[Symbol.dispose]();
    assert.throws(() => regions.status("data"), refused(404));
    regions.register("data", body);
    inference[Symbol.dispose]();
    assert.equal(regions.count, 1);
  });

  it("goes when the last inference ends, one that came after it was unregistered too", () => {
    using made = held();
    const { regions } = made, first = regions.hold([part("data", 0, 1)]);
    regions.unregister(undefined);
    const second = regions.hold([part("data", 0, 1)]);
    first[Symbol.dispose]();
    assert.deepEqual(read(regions, "data", 0, 1), [1]);
    second[Symbol.dispose]();
    assert.equal(regions.count, 0);
  });

  it("stays when it was not unregistered", () => {
    using made = held();
    made.regions.hold([part("data", 0, 1)])[Symbol.dispose]();
    assert.equal(made.regions.count, 1);
  });

  it("is not held by an inference that names an unknown one", () => {
    using made = held();
    assert.throws(() => made.regions.hold([part("data", 0, 1), part("other", 0, 1)]), refused(404, /other/));
    made.regions.unregister("data");
    assert.equal(made.regions.count, 0);
  });
});
