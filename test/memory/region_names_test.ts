import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { closeDescriptor, createMemoryDescriptor, reserveBytes, sealSize } from "../../ffi/descriptors.ts";
import { libc } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { processIdentity } from "../../ffi/process_identity.ts";
import { SharedMemoryRegion } from "../../mod.ts";
import { memfdName } from "../../src/memory/region_file.ts";
import { runChild } from "../support/child.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { freshName } from "./support.ts";

const AF_UNIX = 1, SOCK_STREAM = 1;
const ID = "0123456789abcdef".repeat(2), NAME = `coload-${ID}`;
const NOT_FOUND = failure("NativeError", "REGION_NOT_FOUND");
const FORBIDDEN = failure("NativeError", "REGION_FORBIDDEN");
const open = (name: unknown) => () => SharedMemoryRegion.open(name as string);
const openDescriptor = (descriptor: unknown) => () => SharedMemoryRegion.openDescriptor(descriptor as number);

afterEach(nothingLeft);

describe("SharedMemoryRegion.open", () => {
  const names: Record<string, unknown> = {
    "an empty name": "",
    "a dot": ".",
    "two dots": "..",
    "a slash before": `/${NAME}`,
    "a slash behind": `${NAME}/`,
    "a path": "../etc/passwd",
    "a path that ends as a name does": `../../tmp/${NAME}`,
    "a path that begins as a name does": `${NAME}/../${NAME}`,
    "a dot behind": `${NAME}.`,
    "a NUL within": `coload-${ID.slice(0, 31)}\0`,
    "a NUL behind": `${NAME}\0`,
    "a line's end behind": `${NAME}\n`,
    "300 characters": "a".repeat(300),
    "300 characters that begin well": NAME + "0".repeat(300),
    "a digit too few": NAME.slice(0, -1),
    "capitals": NAME.toUpperCase(),
    "digits of another script": `coload-${"\u0660".repeat(32)}`,
    "another program's name": "sem.coload",
    "memfd without a number": `memfd--1-1-1-${ID}`,
    "memfd with a sign": `memfd-1--1-1-1-${ID}`,
    "memfd with a path": `memfd-1-1-1-../../1-${ID}`,
    "memfd with too long a number": `memfd-1-12345678901-1-1-${ID}`,
    "memfd with too many parts": `memfd-1-1-1-1-1-${ID}`,
    "nothing": undefined,
    "null": null,
    "a number": 7,
    "an object": {},
    "an array of a name": [NAME],
    "a String object": Object(NAME),
    "a symbol": Symbol("name"),
  };
  for (const [what, name] of Object.entries(names)) {
    it(`refuses ${what}`, () => assert.throws(open(name), failure("TypeError", "INVALID_REFERENCE")));
  }

  it("finds nothing at a name that nobody has", () => {
    assert.throws(open(freshName()), NOT_FOUND);
  });
});

describe("SharedMemoryRegion.open of a memfd region's name", () => {
  const own = processIdentity();

  it("says that another pid namespace cannot be reached", () => {
    using region = SharedMemoryRegion.create(1, { backend: "memfd" });
    const name = memfdName({ ...own, namespace: own.namespace + 1 }, region.descriptor, ID);
    assert.throws(open(name), failure("NativeError", "REGION_UNREACHABLE"));
  });

  it("finds nothing where the process started at another time", () => {
    using region = SharedMemoryRegion.create(1, { backend: "memfd" });
    const id = region.name.slice(-32);
    assert.throws(open(memfdName({ ...own, startTime: own.startTime + 1 }, region.descriptor, id)), NOT_FOUND);
    assert.throws(open(memfdName({ ...own, startTime: 0 }, region.descriptor, id)), NOT_FOUND);
  });

  it("finds nothing where there is no such process", () => {
    for (const pid of [0, 4_194_305, 9_999_999_999]) { // beyond the kernel's largest
      for (const startTime of [0, own.startTime]) {
        assert.throws(open(memfdName({ ...own, pid, startTime }, 3, ID)), NOT_FOUND);
      }
    }
  });

  it("finds nothing where the process has died", async () => {
    const { code, stdout, stderr } = await runChild(new URL("./children/memfd_maker.ts", import.meta.url));
    assert.equal(code, 0, stderr);
    const [name, end] = stdout.split("\n");
    assert.equal(end, "END");
    assert.match(name!, /^memfd-/);
    assert.throws(open(name), NOT_FOUND);
  });

  it("finds nothing at a descriptor that is not open", () => {
    for (const fd of [999_999, 9_999_999_999]) assert.throws(open(memfdName(own, fd, ID)), NOT_FOUND);
  });

  it("finds nothing at another region's descriptor", () => {
    using region = SharedMemoryRegion.create(1, { backend: "memfd" });
    assert.throws(open(memfdName(own, region.descriptor, ID)), NOT_FOUND);
  });

  it("opens no other file, whatever it is", () => {
    using named = SharedMemoryRegion.create(1);
    assert.throws(open(memfdName(own, named.descriptor, named.name.slice(-32))), NOT_FOUND);
    const folder = mkdtempSync(join(tmpdir(), "coload-")), path = join(folder, "file");
    writeFileSync(path, "text");
    for (const file of [path, folder, "/dev/null"]) {
      const fd = openSync(file, "r");
      assert.throws(open(memfdName(own, fd, ID)), NOT_FOUND, file);
      closeSync(fd);
    }
    rmSync(folder, { recursive: true });
  });

  it("opens no socket", () => {
    const fds = new Int32Array(2);
    assert.equal(libc().socketpair(AF_UNIX, SOCK_STREAM, 0, ffi.of(fds)), 0);
    assert.throws(open(memfdName(own, fds[0]!, ID)), NOT_FOUND);
    for (const fd of fds) closeDescriptor(fd);
  });
});

describe("SharedMemoryRegion.openDescriptor", () => {
  for (const descriptor of [-1, 1.5, NaN, 1e9, 2 ** 31, 2 ** 53, 1e21]) {
    it(`finds nothing at ${descriptor}`, () => {
      assert.throws(openDescriptor(descriptor), NOT_FOUND);
    });
  }

  it("refuses a memfd whose size is not sealed", () => {
    const fd = createMemoryDescriptor("coload-test");
    reserveBytes(fd, 3 * 4096);
    assert.throws(openDescriptor(fd), { ...FORBIDDEN, message: /sealed/ });
    sealSize(fd);
    assert.throws(openDescriptor(fd), failure("NativeError", "REGION_INVALID"));
    closeDescriptor(fd);
  });

  it("refuses a folder and a device", () => {
    for (const path of [tmpdir(), "/dev/null"]) {
      const fd = openSync(path, "r");
      assert.throws(openDescriptor(fd), FORBIDDEN, path);
      closeSync(fd);
    }
  });

  it("opens the same region twice, by its descriptor and by its name", () => {
    using region = SharedMemoryRegion.create(10, { backend: "memfd" });
    using first = SharedMemoryRegion.openDescriptor(region.descriptor);
    using second = SharedMemoryRegion.openDescriptor(first.descriptor);
    first.bytes[9] = 1;
    assert.deepEqual([second.bytes[9], region.bytes[9]], [1, 1]);
  });
});
