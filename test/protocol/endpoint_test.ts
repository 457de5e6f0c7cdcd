import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { defaultSocket, socketDirectory, socketPath } from "../../src/protocol/endpoint.ts";
import { failure } from "../support/sessions.ts";

describe("an endpoint", () => {
  for (
    const [endpoint, socket] of [
      ["/run/a.sock", "/run/a.sock"],
      ["unix:/run/a.sock", "/run/a.sock"],
      ["UNIX:/run/a.sock", "/run/a.sock"],
      ["unix:///run/a.sock", "/run/a.sock"],
      ["/run/../run//a.sock", "/run/a.sock"],
      ["a.sock", path.resolve("a.sock")],
      ["unix:a.sock", path.resolve("a.sock")],
      ["./http:8000", path.resolve("http:8000")],
      ["/run/a:b", "/run/a:b"],
    ] as const
  ) {
    it(`${endpoint} is a path`, () => assert.equal(socketPath(endpoint), socket));
  }

  it("of another kind is unsupported", () => {
    for (const endpoint of ["http://localhost:8000", "https://localhost", "tcp:localhost:80", "HTTP://a"]) {
      assert.throws(() => socketPath(endpoint), failure("NativeError", "UNSUPPORTED"));
    }
  });

  it("is a text with a path in it", () => {
    for (const endpoint of ["", "unix:", "a\0b", undefined, null, 7, {}]) {
      assert.throws(() => socketPath(endpoint as string), failure("TypeError", "INVALID_ARGUMENT"));
    }
  });

  it("has a path of at most 107 bytes", () => {
    const longest = `/${"a".repeat(106)}`, error = failure("SystemError", "SOCKET_PATH");
    assert.equal(socketPath(longest), longest);
    assert.throws(() => socketPath(`${longest}a`), error);
    assert.throws(() => socketPath(`unix:/${"ü".repeat(54)}`), error);
  });
});

describe("where workers listen that were told no path", () => {
  const { XDG_RUNTIME_DIR: before } = process.env;
  beforeEach(() => {
    delete process.env.XDG_RUNTIME_DIR;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
  });

  it("is below XDG_RUNTIME_DIR", () => {
    process.env.XDG_RUNTIME_DIR = "/run/user/1";
    assert.equal(socketDirectory(), "/run/user/1/coload");
    assert.equal(defaultSocket(), "/run/user/1/coload/worker.sock");
  });

  it("is a folder of the user's in the temporary one otherwise", () => {
    const own = path.join(tmpdir(), `coload-${process.geteuid!()}`);
    assert.equal(socketDirectory(), own);
    process.env.XDG_RUNTIME_DIR = "relative";
    assert.equal(socketDirectory(), own);
  });
});
