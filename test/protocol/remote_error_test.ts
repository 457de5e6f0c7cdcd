import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  MemoryError,
  NativeError,
  OrtError,
  rangeError,
  staleError,
  SystemError,
  typeError,
  WorkerError,
} from "../../src/errors.ts";
import { errorMessage, remoteError } from "../../src/protocol/remote_error.ts";

/** The error as it arrives in another process. */
const sent = (error: unknown): Error & { code?: string } =>
  remoteError(JSON.parse(JSON.stringify(errorMessage(error))));

describe("an error that crosses to another process", () => {
  const errors = [
    new NativeError("UNSUPPORTED", "one"),
    new SystemError("SOCKET_PATH", "two"),
    new MemoryError("MEMORY_BUDGET", "three"),
    new WorkerError("WORKER_BUSY", "four"),
    new OrtError("ORT_FAIL", "five"),
    typeError("INVALID_DTYPE", "six"),
    rangeError("INVALID_SHAPE", "seven"),
    staleError("eight"),
  ];
  for (const error of errors) {
    it(`keeps its class, code and words: ${error.name} ${(error as { code?: string }).code}`, () => {
      const found = sent(error);
      assert.equal(found.constructor, error.constructor);
      const { name, code, message } = error as Error & { code: string };
      assert.deepEqual([found.name, found.code, found.message], [name, code, message]);
    });
  }

  it("has a code where it had none", () => {
    for (const thrown of [new Error("why"), new SyntaxError("why"), "why", undefined, null, 7]) {
      const found = sent(thrown);
      assert.ok(found instanceof NativeError || found instanceof TypeError);
      assert.equal(found.code, "SYSTEM");
    }
    assert.equal(sent(new Error("why")).message, "why");
    assert.equal(sent("why").message, "why");
  });

  it("is an error whatever the other process says", () => {
    const names = ["Object", "constructor", "__proto__", "toString", "Function", 7, null, {}];
    for (const name of names) {
      const found = remoteError({ name, code: "WORKER_DIED", message: ["a"] });
      assert.ok(found instanceof NativeError);
      assert.equal(found.message, "a");
    }
    assert.ok(remoteError({}) instanceof NativeError);
  });

  it("has a text as its code whatever the other process says", () => {
    for (const code of [7, null, undefined, {}, ["WORKER_DIED"]]) {
      for (const name of ["WorkerError", "TypeError", "other"]) {
        assert.equal(typeof (remoteError({ name, code, message: "why" }) as { code?: unknown }).code, "string");
      }
    }
  });
});
