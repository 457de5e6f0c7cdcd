import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { OrtError } from "../../src/errors.ts";
import type { ProgressReport } from "../../src/ort/load_progress.ts";
import { lastingReason } from "../../src/weights/refusal.ts";
import { planSharing } from "../../src/weights/share.ts";
import { refused } from "../memory/peers/peer.ts";
import { nothingLeft } from "../support/left.ts";
import { inChild, mounted, scratchFolder, smallModel } from "./support.ts";

/** Progress that fails as a bug would. */
function failing(thrown: unknown): ProgressReport {
  const phase = (): never => {
    throw thrown;
  };
  return { phase } as unknown as ProgressReport;
}

afterEach(nothingLeft);

describe("a load whose sharing goes wrong", () => {
  for (const error of [new RangeError("premature EOF"), new TypeError("x is not a function"), "premature EOF"]) {
    it(`by ${error} is of the model itself, and says why`, async () => {
      using folder = scratchFolder();
      const source = { path: smallModel(folder.path).path };
      const plan = await planSharing({ source, byteLength: 2 << 20, options: {}, progress: failing(error) });
      const reason = error instanceof Error ? error.message : error;
      assert.deepEqual([plan.source, plan.sharing], [source, { mode: "off", reason }]);
    });
  }

  it("by an abort rejects with its reason", async () => {
    const signal = AbortSignal.abort(new Error("enough")), request = { source: { path: "/none" }, byteLength: 2 << 20 };
    const planning = planSharing({
      ...request,
      options: { signal },
      progress: failing(new RangeError("premature EOF")),
    });
    await assert.rejects(planning, /^Error: enough$/);
  });
});

describe("what onnxruntime says of a copy", () => {
  const of = (words: string): string | undefined =>
    lastingReason(new OrtError("MODEL_INVALID", `Cannot load model copy.onnx: ${words}`));

  it("is kept, for it says that of the copy each time", () => {
    assert.match(of("Invalid model. Node input 'x' is not a graph input")!, /^onnxruntime cannot load a copy: .*Node/);
  });

  for (
    const words of [
      "pthread_create failed, error code: 11 error msg: Resource temporarily unavailable",
      "std::bad_alloc",
      "Exception during initialization: bad allocation: Cannot allocate memory",
      "Load model from copy.onnx failed: open: Too many open files",
    ]
  ) it(`is not kept where the system had nothing to give: ${words}`, () => assert.equal(of(words), undefined));
});

describe("a system that does not tell what a process has mapped", () => {
  const untold = mounted('mount --bind /dev/null "/proc/$$/smaps"');

  it("is no reason to refuse models for ever", { skip: refused(untold) }, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path);
    const [made] = await inChild(folder.join("cache"), [{ do: "prepare", model }], { through: untold });
    assert.deepEqual([made!.made, made!.refused], [true, ""], JSON.stringify(made));
  });
});
