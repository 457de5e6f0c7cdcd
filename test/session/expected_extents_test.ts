import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { isCpuOnly } from "../../src/ort/session_options.ts";
import { ExpectedExtents } from "../../src/session/expected_extents.ts";
import { releaseSession } from "../../src/ort/release_session.ts";
import { createNativeSession } from "../../src/session/native_session.ts";
import { runSync } from "../../src/session/run.ts";
import type { Feeds, RunSyncOptions } from "../../src/session/run_options.ts";
import { SessionCore } from "../../src/session/session_core.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { dynamicOutput, failingRun, identity } from "../support/models.ts";
import { encodeModel, node, value } from "../support/models/proto.ts";
import { failure, floats, open } from "../support/sessions.ts";

const two = { shape: [2], byteLength: 8 }, three = { shape: [3], byteLength: 12 };

afterEach(nothingLeft);

describe("ExpectedExtents", () => {
  it("expects what an output was twice", () => {
    const expected = new ExpectedExtents();
    expected.note(1, two);
    assert.equal(expected.of(1), undefined);
    expected.note(1, { ...two, shape: [2] });
    assert.equal(expected.of(1), two);
    assert.equal(expected.of(0), undefined);
  });

  it("begins anew when an input's shape changes", () => {
    const expected = new ExpectedExtents();
    for (const extent of [two, two]) expected.note(0, extent);
    expected.forget();
    assert.equal(expected.of(0), undefined);
    for (const extent of [three, three]) expected.note(0, extent);
    assert.equal(expected.of(0), three);
  });

  it("expects nothing of an output whose shape hangs on values", () => {
    const expected = new ExpectedExtents();
    for (const extent of [two, two, three, three, three]) expected.note(0, extent);
    assert.equal(expected.of(0), undefined);
  });
});

describe("an output whose shape the model leaves open", () => {
  it("follows the shape of the input", async () => {
    await using session = await open(identity("float32", ["N"]));
    for (const values of [[1, 2], [3, 4], [5, 6], [7, 8, 9], [1, 2], [3], [], [4, 5, 6], [7, 8, 9], [1, 2, 3]]) {
      const { y } = session.runSync({ x: floats(values) });
      assert.deepEqual([y!.shape, [...y!.data]], [[values.length], values]);
    }
  });

  it("may hang on values at any time", async () => {
    await using session = await open(dynamicOutput());
    for (const values of [[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]]) {
      const { y } = session.runSync({ x: floats(values) });
      const wanted = values.flatMap((value, i) => value === 0 ? [] : [BigInt(i)]);
      assert.deepEqual([y!.shape, [...y!.data]], [[1, wanted.length], wanted]);
    }
  });

  it("may be large", async () => {
    await using session = await open(identity("float32", ["N"]));
    for (let run = 1; run < 6; run++) {
      const { y } = session.runSync({ x: Tensor.from(new Float32Array(100_000).fill(run)) });
      assert.ok(y!.data.length === 100_000 && y!.as("float32").data.every((value) => value === run));
    }
  });

  it("is another tensor after each run", async () => {
    await using session = await open(identity("float32", ["N"]));
    const runs = [1, 2, 3, 4].map((value) => session.runSync({ x: floats([value]) }));
    assert.deepEqual(runs.map(({ y }) => y!.data[0]), [1, 2, 3, 4]);
  });

  it("leaves a run that fails failed", async () => {
    await using session = await open(failingRun());
    for (let run = 0; run < 4; run++) assert.equal(session.runSync({ x: floats([1, 2, 3]) }).y!.size, 3);
    assert.throws(() => session.runSync({ x: floats([1, 2]) }), failure("OrtError", "ORT_FAIL"));
  });
});

/** `y = r[k]`, `["K"]`, of a new random `r`, `[4]`, in every run: what came out tells how often it ran. */
function drawing(): Uint8Array<ArrayBuffer> {
  const shape = { name: "shape", type: 7, ints: [4] }, seed = { name: "seed", type: 1, f: 7 };
  return encodeModel({
    inputs: [value("k", "int64", ["K"])],
    outputs: [value("y", "float32", ["K"])],
    nodes: [node("RandomNormal", [], ["r"], [shape, seed]), node("Gather", ["r", "k"], ["y"])],
  });
}

describe("a run that fails", () => {
  const feeds = (k: number): Feeds => ({ k: Tensor.from([k], [1], "int64") });
  const out = failure("OrtError", "ORT_INVALID_ARGUMENT", /out of data bounds/);

  it("for another reason than an output's shape is not run again", async () => {
    await using once = await open(drawing());
    await using session = await open(drawing());
    const draw = (k: number, options?: RunSyncOptions): unknown => session.runSync(feeds(k), options).y!.data[0];
    const drawOnce = (k: number): unknown => {
      using drawn = once.runSync(feeds(k), { outputStorage: "native" }); // for which nothing is expected
      return drawn.y!.data[0];
    };
    for (const _ of [1, 2, 3]) assert.equal(draw(0), drawOnce(0));
    assert.throws(() => draw(9), out);
    assert.throws(() => drawOnce(9), out);
    assert.equal(draw(0), drawOnce(0));
  });
});

describe("an output whose declared shape is wrong", () => {
  const model = encodeModel({
    inputs: [value("x", "float32", ["N"]), value("shape", "int64", ["K"])],
    outputs: [value("y", "float32", [2]), value("same", "float32", ["N"])],
    nodes: [node("Reshape", ["x", "shape"], ["y"]), node("Identity", ["x"], ["same"])],
  });
  const feeds = (length: number): Feeds => ({
    x: Tensor.from(new Float32Array(length).fill(3)),
    shape: Tensor.from([length], [1], "int64"),
  });

  for (const how of ["runSync", "run"] as const) {
    it(`comes out as it is, by ${how}, small and large`, async () => {
      await using session = await open(model);
      for (const length of [2, 3, 3, 3, 3, 2, 100_000, 100_000, 100_000, 3]) {
        for (const outputStorage of ["heap", "native"] as const) {
          using out = await session[how](feeds(length), { outputStorage });
          assert.deepEqual([out.y!.shape, out.same!.shape], [[length], [length]]);
          assert.ok(out.y!.as("float32").data.every((value) => value === 3));
        }
      }
    });
  }

  it("in part, or of another rank, comes out as well", async () => {
    for (const declared of [["M", 2], ["M"], []]) {
      await using session = await open(encodeModel({
        inputs: [value("x", "float32", ["N"]), value("shape", "int64", ["K"])],
        outputs: [value("y", "float32", declared)],
        nodes: [node("Reshape", ["x", "shape"], ["y"])],
      }));
      for (const shape of [[2, 3], [2, 3], [2, 3], [2, 3], [3, 2], [3, 2], [3, 2], [3, 2], [6]]) {
        const feeds = { x: floats([1, 2, 3, 4, 5, 6]), shape: Tensor.from(shape, [shape.length], "int64") };
        assert.deepEqual(session.runSync(feeds).y!.shape, shape);
      }
    }
  });

  it("comes out of many runs at once", async () => {
    await using session = await open(model);
    const runs = Array.from({ length: 20 }, (_, i) => session.run(feeds(i % 4)));
    for (const [i, { y }] of (await Promise.all(runs)).entries()) assert.deepEqual(y!.shape, [i % 4]);
  });
});

describe("what other devices than the CPU compute", () => {
  it("is expected of no shape: it is copied into memory of any", async () => {
    const { pointer, handle } = await createNativeSession(identity("float32", ["N"]), {});
    for (const onCpu of [true, false]) {
      const core = new SessionCore(pointer, "identity", onCpu);
      for (const _ of [1, 2, 3]) runSync(core, { x: floats([1]) }, undefined);
      const frame = core.takeSyncFrame();
      assert.equal(frame.expected.of(0) !== undefined, onCpu);
      core.giveSyncFrame(frame);
      core.dispose();
    }
    await releaseSession(handle.take()!);
  });

  it("is not what the CPU's provider alone does, by any of its names", () => {
    assert.ok(isCpuOnly({}) && isCpuOnly({ executionProviders: ["cpu", "CPUExecutionProvider"] }));
    assert.ok(!isCpuOnly({ executionProviders: ["cuda", "cpu"] }));
  });
});
