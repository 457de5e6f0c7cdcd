import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LibraryError } from "../../src/errors.ts";
import { describeAttempts, installCommand, locateOnnxRuntime } from "../../src/ort/locate.ts";
import { onBun } from "../cli/spawn.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";

describe("locateOnnxRuntime", () => {
  it("finds what this repository depends on", () => {
    const { path, how } = locateOnnxRuntime();
    assert.match(path, /onnxruntime/);
    assert.notEqual(how, "");
  });

  it("says that the given library is not there, and looks for no other", () => {
    using folder = new TemporaryFolder();
    assert.throws(() => locateOnnxRuntime({ library: folder.join("absent.so") }), (error: LibraryError) => {
      assert.ok(error instanceof LibraryError);
      assert.equal(error.code, "LIBRARY_NOT_FOUND");
      const first = `the option library says, ${folder.join("absent.so")}: no such file or folder`;
      assert.ok(error.message.startsWith(`Cannot find the onnxruntime library where ${first}\n`), error.message);
      return true;
    });
  });
});

describe("describeAttempts", () => {
  it("puts places with one reason on one line", () => {
    const reason = "no such file or folder";
    const tried = [
      { how: "system", path: "/lib", reason },
      { how: "system", path: "/usr/lib", reason: "needs --allow-read" },
      { how: "system", path: "/usr/local/lib", reason },
      { how: "option library", reason: "not given" },
    ];
    assert.deepEqual(describeAttempts(tried), [
      "system: no such file or folder: /lib, /usr/local/lib",
      "system: needs --allow-read: /usr/lib",
      "option library: not given",
    ]);
  });
});

describe("installCommand", () => {
  it("names the command line where it lies", () => {
    assert.match(installCommand(), onBun ? /^bun run .*main\.ts install$/ : /^deno run -A .*main\.ts install$/);
  });
});
