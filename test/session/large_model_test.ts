import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, describe, it } from "node:test";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { nothingLeft } from "../support/left.ts";
import { writeWeights } from "../support/models.ts";

const BYTES = 2.2e9, NEEDED_BYTES = 6e9;
const { bavail, bsize } = statfsSync(tmpdir());

afterEach(nothingLeft);

describe("a model with more than 2 GiB of external data", () => {
  const skip = bavail * bsize < NEEDED_BYTES && "needs 6 GB of disk";
  it("loads and runs", { skip, timeout: 120_000 }, async () => {
    using folder = new TemporaryFolder();
    const options = { path: folder.join("large.onnx"), byteLength: BYTES, layers: 8, external: true };
    const { path, byteLength, inputWidth, outputWidth } = writeWeights(options);
    await using session = await InferenceSession.create(path, { extra: { "session.disable_prepacking": "1" } });
    assert.ok(byteLength > 2 ** 31 && session.memory.weights >= 0);
    const { y } = await session.run({ x: Tensor.from(new Float32Array(inputWidth).fill(1), [1, inputWidth]) });
    assert.deepEqual(y!.shape, [1, outputWidth]);
    assert.ok(y!.as("float32").data.every(Number.isFinite));
  });
});
