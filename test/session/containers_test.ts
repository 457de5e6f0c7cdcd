import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds, RunSyncOptions } from "../../src/session/run_options.ts";
import type { Tensors } from "../../src/session/tensors.ts";
import { nothingLeft } from "../support/left.ts";
import { mapOutput, optionalOutput, sequenceOutput } from "../support/models.ts";
import { encodeModel, node, value } from "../support/models/proto.ts";
import { failure, floats, open } from "../support/sessions.ts";

const x = floats([1, 2]), rows = floats([1, 2, 3, 4], [2, 2]);

/** The same run on this thread and on another. */
async function both(session: InferenceSession, feeds: Feeds, options?: RunSyncOptions): Promise<Tensors[]> {
  return [session.runSync(feeds, options), await session.run(feeds, options)];
}

afterEach(nothingLeft);

describe("outputs that are no tensors", () => {
  const models = {
    sequence: [sequenceOutput(), "rows", "sequence", "sequence<tensor<float32>>"],
    "map with strings": [mapOutput("string"), "maps", "sequence", "sequence<map<string, tensor<float32>>>"],
    "map with numbers": [mapOutput("int64"), "maps", "sequence", "sequence<map<int64, tensor<float32>>>"],
  } as const;
  for (const [name, [model, output, kind, dtype]] of Object.entries(models)) {
    it(`a ${name} is described, and an error to fetch, while the other works`, async () => {
      await using session = await open(model);
      assert.deepEqual(session.outputs[1], { name: output, kind, dtype, shape: [] });
      for (const out of await both(session, { x: rows })) {
        assert.deepEqual([...out.y!.data], [1, 2, 3, 4]);
        assert.throws(() => out[output], failure("TypeError", "NOT_A_TENSOR", new RegExp(output)));
        out[Symbol.dispose]();
      }
      const refused = failure("TypeError", "NOT_A_TENSOR");
      assert.throws(() => session.runSync({ x: rows }, { outputs: [output] }), refused);
      await assert.rejects(session.run({ x: rows }, { outputs: [output] }), refused);
    });
  }

  it("an optional that holds a tensor is one", async () => {
    await using session = await open(optionalOutput());
    assert.deepEqual(session.outputs[1]!.kind, "optional");
    for (const out of await both(session, { x: rows })) assert.deepEqual([...out.maybe!.data], [1, 2, 3, 4]);
    using out = await session.run({ x: rows }, { outputStorage: "native" });
    assert.deepEqual([...out.maybe!.data], [1, 2, 3, 4]);
  });

  it("an optional that holds nothing is an error to fetch, while the other works", async () => {
    await using session = await open(optionalOutput(true));
    for (const outputStorage of ["heap", "native"] as const) {
      for (const out of await both(session, { x: rows }, { outputStorage })) {
        assert.deepEqual([...out.y!.data], [1, 2, 3, 4]);
        assert.throws(() => out.maybe, failure("TypeError", "NOT_A_TENSOR", /maybe/));
        out[Symbol.dispose]();
      }
    }
  });

  it("an output may have a name that objects have already", async () => {
    const names = ["__proto__", "constructor", "then"];
    await using session = await open(encodeModel({
      inputs: [value("x", "float32", [2])],
      outputs: names.map((name) => value(name, "float32", [2])),
      nodes: names.map((name) => node("Identity", ["x"], [name])),
    }));
    const out = session.runSync({ x });
    assert.deepEqual(Object.keys(out), names);
    for (const name of names) assert.deepEqual([...out[name]!.data], [1, 2]);
  });
});
