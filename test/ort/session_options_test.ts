import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { sessionOptionsKey } from "../../src/ort/session_options.ts";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { nothingLeft } from "../support/left.ts";
import { add } from "../support/models.ts";
import { failure, floats } from "../support/sessions.ts";

type Options = Parameters<typeof InferenceSession.create>[1];

async function refuses(options: unknown, name: string, code: string, message?: RegExp): Promise<void> {
  await assert.rejects(InferenceSession.create(add(), options as Options), failure(name, code, message));
}

afterEach(nothingLeft);

describe("session options", () => {
  it("that are unknown are refused by name", async () => {
    await refuses({ intraOpThreads: 2 }, "TypeError", "INVALID_ARGUMENT", /"intraOpThreads"/);
    for (const options of [null, 3]) await refuses(options, "TypeError", "INVALID_ARGUMENT");
  });

  it("that are out of range or of a wrong type are refused", async () => {
    for (const count of [-1, 1.5, NaN, 1025, "2"]) {
      await refuses({ intraOpNumThreads: count }, "RangeError", "OUT_OF_RANGE");
    }
    await refuses({ interOpNumThreads: -1 }, "RangeError", "OUT_OF_RANGE");
    await refuses({ freeDimensionOverrides: { N: -1 } }, "RangeError", "OUT_OF_RANGE");
    await refuses({ freeDimensionOverrides: { N: 0.5 } }, "RangeError", "OUT_OF_RANGE");
    for (
      const options of [
        { executionMode: "fast" },
        { graphOptimizationLevel: "99" },
        { logSeverityLevel: 5 },
        { enableCpuMemArena: "yes" },
        { enableProfiling: 1 },
        { executionProviders: "cpu" },
        { executionProviders: [3] },
        { executionProviders: [{ name: "" }] },
        { executionProviders: [{ name: "cpu", options: { threads: 4 } }] },
        { extra: { "session.disable_prepacking": 1 } },
        { extra: { "a\0b": "1" } },
      ]
    ) await refuses(options, "TypeError", "INVALID_ARGUMENT");
  });

  it("that contradict a named option are refused in `extra`", async () => {
    await refuses(
      { extra: { "session.intra_op.allow_spinning": "1" } },
      "TypeError",
      "INVALID_ARGUMENT",
      /intraOpNumThreads/,
    );
    const extra = { "session.use_env_allocators": "1" };
    await refuses({ enableCpuMemArena: false, extra }, "TypeError", "INVALID_ARGUMENT", /enableCpuMemArena/);
    await using session = await InferenceSession.create(add(), {
      intraOpNumThreads: 2,
      extra: { "session.intra_op.allow_spinning": "0" },
    });
    assert.equal(session.inputs.length, 2);
  });

  it("name providers that are not there in an error that says which are", async () => {
    for (const provider of ["coreml", "NoSuchExecutionProvider", { name: "qnn" }, { name: "qnn", options: {} }]) {
      const options = { executionProviders: [provider, "cpu"] };
      await refuses(options, "NativeError", "PROVIDER_UNAVAILABLE", /CPUExecutionProvider/);
    }
  });

  it("make no file unless a profile is wanted", async () => {
    const profiles = (): string[] =>
      readdirSync(process.cwd()).filter((name) => name.startsWith("onnxruntime_profile_"));
    const session = await InferenceSession.create(add());
    session.runSync({ a: floats([1, 2]), b: floats([1, 2]) });
    await session[Symbol.asyncDispose]();
    assert.deepEqual(profiles(), []);
  });
});

describe("sessionOptionsKey", () => {
  it("is empty for the defaults, however they are spelled", () => {
    for (
      const options of [
        {},
        { executionMode: "sequential" },
        { graphOptimizationLevel: "all", enableCpuMemArena: true, enableProfiling: false },
        { executionProviders: ["cpu"], extra: {}, freeDimensionOverrides: {} },
        { logSeverityLevel: 0 },
        { intraOpNumThreads: undefined },
      ] as const
    ) assert.equal(sessionOptionsKey(options as object), "");
  });

  it("does not depend on the order of keys, but on that of providers", () => {
    const key = (options: object): string => sessionOptionsKey(options);
    assert.equal(key({ extra: { a: "1", b: "2" } }), key({ extra: { b: "2", a: "1" } }));
    assert.notEqual(key({ executionProviders: ["cuda", "webgpu"] }), key({ executionProviders: ["webgpu", "cuda"] }));
    assert.notEqual(key({ intraOpNumThreads: 1 }), key({ interOpNumThreads: 1 }));
    assert.notEqual(key({ intraOpNumThreads: 0 }), key({}));
  });
});
