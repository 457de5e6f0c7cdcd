import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { afterEach, describe, it } from "node:test";
import { effectiveUser } from "../../../ffi/descriptors.ts";
import { ClientRegions } from "../../../src/worker/http/client_regions.ts";
import { plant, Planted } from "../../memory/support.ts";
import { bytes, descriptors, LIMITS, refused } from "./regions_support.ts";

const OTHER_USER = 12345;

const before = descriptors();
afterEach(() => assert.equal(descriptors(), before));

describe("registering a region refuses", () => {
  const sizes: [string, unknown, unknown][] = [
    ["a byte more than there is", 0, 65],
    ["an offset with which it ends a byte late", 1, 64],
    ["an offset at the end", 64, 1],
    ["an offset beyond the end", 65, 1],
    ["an offset of 2^53 - 1", Number.MAX_SAFE_INTEGER, 1],
    ["an offset and a size of 2^53 - 1", Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ["an offset of 2^53", 2 ** 53, 8],
    ["an offset of 2^63 - 1", JSON.parse("9223372036854775807"), 8],
    ["an offset of 2^64 - 32, which is -32", JSON.parse("18446744073709551584"), 32],
    ["a size of 2^63", 0, JSON.parse("9223372036854775808")],
    ["a size that is infinite", 0, JSON.parse("1e999")],
    ["a negative offset", -8, 8],
    ["a negative size", 0, -8],
    ["no bytes", 0, 0],
    ["a fractional offset", 0.5, 8],
    ["a fractional size", 0, 8.5],
    ["an offset that is text", "0", 8],
    ["a size that is text", 0, "8"],
    ["no size", 0, undefined],
  ];
  for (const [what, offset, byteSize] of sizes) {
    it(what, () => {
      using file = plant(bytes(64));
      using regions = new ClientRegions(LIMITS);
      const register = () => regions.register("data", { key: file.name, offset, byte_size: byteSize });
      assert.throws(register, refused(400));
      assert.equal(descriptors(), before);
      assert.equal(regions.count, 0);
    });
  }

  const keys: unknown[] = [
    "",
    "/",
    "//",
    ".",
    "..",
    "/..",
    "../etc/passwd",
    "/../etc/passwd",
    "//name",
    "a/b",
    "/a/",
    "name\0more",
    "x".repeat(256),
    `/${"ü".repeat(128)}`,
    undefined,
    null,
    7,
    ["name"],
  ];
  for (const key of keys) {
    it(`the key ${String(JSON.stringify(key)).slice(0, 30)}`, () => {
      using regions = new ClientRegions(LIMITS);
      assert.throws(() => regions.register("data", { key, offset: 0, byte_size: 8 }), refused(400, /key/));
    });
  }

  for (const name of ["", "a/b", "a\nb", "a\0", "\u2028", "x".repeat(257), undefined]) {
    it(`the name ${String(JSON.stringify(name)).slice(0, 30)}`, () => {
      using file = plant(bytes(8));
      using regions = new ClientRegions(LIMITS);
      const body = { key: file.name, offset: 0, byte_size: 8 };
      assert.throws(() => regions.register(name as string, body), refused(400, /name of 1 to 256/));
    });
  }

  for (const body of [undefined, null, "text", 7]) {
    it(`a body that is ${String(body)}`, () => {
      using regions = new ClientRegions(LIMITS);
      assert.throws(() => regions.register("data", body), refused(400));
    });
  }

  it("memory that is not there", () => {
    using regions = new ClientRegions(LIMITS);
    const body = { key: "/coload-no-such-memory", offset: 0, byte_size: 8 };
    assert.throws(() => regions.register("data", body), refused(400, /no shared memory/));
  });

  /** Tries to register what a test puts at a name. */
  function refusedAt(planted: Planted, message: RegExp): void {
    using regions = new ClientRegions(LIMITS);
    const register = () => regions.register("data", { key: planted.name, offset: 0, byte_size: 1 });
    assert.throws(register, refused(400, message));
    assert.equal(descriptors(), before);
  }

  it("a symlink to a file", () => {
    using file = plant(bytes(8));
    using link = new Planted((path) => symlinkSync(file.path, path));
    refusedAt(link, /symlink/);
  });

  it("a directory", () => {
    using directory = new Planted((path) => mkdirSync(path));
    refusedAt(directory, /no file/);
  });

  it("a FIFO, at which it does not wait", () => {
    using fifo = new Planted((path) => assert.equal(spawnSync("mkfifo", ["-m", "600", path]).status, 0));
    refusedAt(fifo, /no file/);
  });

  it("a socket", async () => {
    using place = new Planted(() => {});
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(place.path, resolve));
    try {
      refusedAt(place, /no file/);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("another user's memory", { skip: effectiveUser() !== 0 && "only root can give a file away" }, () => {
    using file = plant(bytes(8));
    chownSync(file.path, OTHER_USER, OTHER_USER);
    refusedAt(file, /12345/);
  });
});
