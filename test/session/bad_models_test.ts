import assert from "node:assert/strict";
import { mkdirSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { InferenceSession } from "../../src/session/inference_session.ts";
import type { ModelSource } from "../../src/ort/model_source.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { nothingLeft } from "../support/left.ts";
import {
  add,
  manyNodes,
  unsupportedDtype,
  unsupportedOperator,
  unsupportedOpset,
  writeWeights,
} from "../support/models.ts";
import { failure, open } from "../support/sessions.ts";

const refuses = (model: unknown, code: string, name: string = "OrtError", message?: RegExp): Promise<void> =>
  assert.rejects(InferenceSession.create(model as ModelSource), failure(name, code, message));

/** As a file and as bytes. */
async function refusesBoth(bytes: Uint8Array, code: string): Promise<void> {
  using folder = new TemporaryFolder();
  const file = folder.join("model.onnx");
  writeFileSync(file, bytes);
  await refuses(bytes, code);
  await refuses(file, code, "OrtError", /model\.onnx/);
}

afterEach(nothingLeft);

describe("a model that cannot be loaded", () => {
  it("is missing, or a folder", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.join("folder.onnx"));
    await refuses(folder.join("none.onnx"), "MODEL_NOT_FOUND", "OrtError", /none\.onnx/);
    await refuses(folder.join("folder.onnx"), "MODEL_NOT_FOUND");
    await refuses(new URL("file:///no/such/model.onnx"), "MODEL_NOT_FOUND");
    await refuses(folder.write("file") + "/model.onnx", "MODEL_NOT_FOUND");
  });

  it("is none of a path, a file URL and bytes", async () => {
    for (
      const model of ["", "a\0b", undefined, null, 7, {}, [1], new ArrayBuffer(8), new URL("https://example.com/")]
    ) {
      await refuses(model, "INVALID_ARGUMENT", "TypeError");
    }
  });

  it("is empty", async () => {
    await refusesBoth(new Uint8Array(0), "MODEL_INVALID");
  });

  it("is truncated", async () => {
    const model = manyNodes(100);
    for (const length of [1, 10, model.length >> 1, model.length - 1]) {
      await refusesBoth(model.slice(0, length), "MODEL_INVALID");
    }
  });

  it("is corrupt", async () => {
    const model = add();
    for (let seed = 1; seed <= 60; seed++) {
      const bytes = model.slice();
      for (let i = 0; i < 3; i++) bytes[(seed * 7919 + i * 104729) % bytes.length]! ^= 1 + (seed * 31 + i) % 255;
      const [end] = await Promise.allSettled([open(bytes)]);
      if (end.status === "fulfilled") await end.value[Symbol.asyncDispose]();
      else assert.match((end.reason as { code: string }).code, /^(MODEL_INVALID|MODEL_UNSUPPORTED)$/, `${end.reason}`);
    }
  });

  it("is something else", async () => {
    await refusesBoth(new TextEncoder().encode("This is a letter, not a model.\n".repeat(100)), "MODEL_INVALID");
    await refusesBoth(new Uint8Array(10_000), "MODEL_INVALID");
    await refusesBoth(new Uint8Array(readFileSync("/proc/self/exe").subarray(0, 100_000)), "MODEL_INVALID");
  });

  it("needs an opset or an operator that there is not", async () => {
    await refusesBoth(unsupportedOpset(), "MODEL_UNSUPPORTED");
    await refusesBoth(unsupportedOperator(), "MODEL_UNSUPPORTED");
  });

  it(
    "is in a folder that may not be searched",
    { skip: process.getuid?.() === 0 && "root may read everything" },
    async () => {
      using folder = new TemporaryFolder();
      mkdirSync(folder.join("closed"), { mode: 0o600 });
      await refuses(folder.join("closed", "model.onnx"), "SYSTEM", "SystemError");
    },
  );
});

describe("external data", () => {
  it("that is missing, truncated or not there for bytes", async () => {
    using folder = new TemporaryFolder();
    const options = { path: folder.join("m.onnx"), byteLength: 1e5, layers: 2, external: "weights.bin" } as const;
    const { path, dataPath } = writeWeights(options);
    truncateSync(dataPath!, 50_000);
    await refuses(path, "EXTERNAL_DATA");
    truncateSync(dataPath!, 0);
    await refuses(path, "EXTERNAL_DATA");
    unlinkSync(dataPath!);
    await refuses(path, "EXTERNAL_DATA");
    await refuses(new Uint8Array(readFileSync(path)), "EXTERNAL_DATA");
  });
});

describe("a model of a dtype that there is no array for", () => {
  it("is described, and refused where it is used", async () => {
    await using session = await open(unsupportedDtype());
    assert.equal(session.inputs[0]!.dtype, "float8e4m3fn");
    const x = Tensor.zeros("uint8", [2]);
    await assert.rejects(session.run({ x }), failure("TypeError", "NOT_A_TENSOR", /float8e4m3fn/));
    assert.throws(() => session.runSync({ x }), failure("TypeError", "NOT_A_TENSOR"));
  });
});
