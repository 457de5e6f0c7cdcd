import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Tensor } from "../../../mod.ts";
import { dynamicOutput, identity, mapOutput, optionalOutput, sequenceOutput, state } from "../../support/models.ts";
import { encodeModel, node, tensorType, value } from "../../support/models/proto.ts";
import { failure, floats, nativeZeros } from "../../support/sessions.ts";
import { type ModelKind, ModelsUnderTest } from "./kind.ts";

const x = floats([1, 2]), rows = floats([1, 2, 3, 4], [2, 2]), feeds = { x, state: floats([3, 4]) };
const ODD_NAMES = ["__proto__", "constructor", "then"];

const undeclared = encodeModel({
  inputs: [{ name: "x", type: tensorType("float32") }],
  outputs: [{ name: "y", type: tensorType("float32") }],
  nodes: [node("Identity", ["x"], ["y"])],
});
const oddNames = encodeModel({
  inputs: [value("x", "float32", [2])],
  outputs: ODD_NAMES.map((name) => value(name, "float32", [2])),
  nodes: ODD_NAMES.map((name) => node("Identity", ["x"], [name])),
});

/** What a model gives, and where. */
export function outputsOf(kind: ModelKind): void {
  describe("outputs", () => {
    const models = new ModelsUnderTest(kind, {
      dynamic: dynamicOutput(),
      identity: identity(),
      maps: mapOutput("string"),
      "odd-names": oddNames,
      optional: optionalOutput(),
      "optional-empty": optionalOutput(true),
      sequence: sequenceOutput(),
      state: state(),
      undeclared,
    });

    it("are all there by default, and lie in the heap", async () => {
      for await (const out of models.results("state", feeds)) {
        assert.deepEqual(Object.keys(out), ["y", "next_state"]);
        assert.deepEqual([[...out.y!.data], [...out.next_state!.data]], [[3, 8], [4, 6]]);
        assert.equal(out.y!.storage, "heap");
      }
    });

    it("can be chosen, in any order", async () => {
      for await (const out of models.results("state", feeds, { outputs: ["next_state"] })) {
        assert.deepEqual(Object.keys(out), ["next_state"]);
      }
      for await (const out of models.results("state", feeds, { outputs: ["next_state", "y"] })) {
        assert.deepEqual(Object.keys(out), ["next_state", "y"]);
        assert.deepEqual([[...out.y!.data], [...out.next_state!.data]], [[3, 8], [4, 6]]);
      }
    });

    it("of one run are never another's, wherever each lies", async () => {
      const kept: Tensor[] = [];
      for (const outputStorage of ["shared", undefined, "shared", "native", "shared", "heap"] as const) {
        for await (
          const { y } of models.results("identity", { x: floats([kept.length, 7]) }, outputStorage && { outputStorage })
        ) {
          assert.equal(y!.storage, outputStorage ?? "heap");
          kept.push(y!);
        }
      }
      assert.equal(new Set(kept).size, kept.length);
      kept.forEach((y, i) => i === 0 || assert.ok(y.data[0]! >= kept[i - 1]!.data[0]!));
      for (const y of kept) y[Symbol.dispose]();
    });

    it("have the shape that this run gave them, whatever those before did", async () => {
      const values = [[0, 1, 0, 2], [0, 3, 0, 4], [5, 0, 6, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 2], [7, 0, 0, 8]];
      for (const fed of [...values, ...values.slice(0, 3), ...values]) {
        const expected = fed.flatMap((value, i) => value === 0 ? [] : [BigInt(i)]);
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results("dynamic", { x: floats(fed) }, { outputStorage })) {
            using result = out;
            assert.deepEqual([result.y!.shape, result.y!.storage], [[1, expected.length], outputStorage]);
            assert.deepEqual([...result.y!.data], expected);
          }
        }
      }
    });

    it("grow from call to call", async () => {
      for (const length of [10, 1000, 600, 100_000, 3, 1_000_000, 0]) {
        const fed = Tensor.from(new Float32Array(length).fill(1));
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results("dynamic", { x: fed }, { outputStorage })) {
            using result = out;
            const { data } = result.y!.as("int64");
            assert.deepEqual([data.length, data[length - 1]], [length, length === 0 ? undefined : BigInt(length - 1)]);
          }
        }
      }
    });

    it("are small in many runs at once, after a large one", async () => {
      for await (const _ of models.results("dynamic", { x: Tensor.from(new Float32Array(1_000_000).fill(1)) }));
      const lengths = Array.from({ length: 60 }, (_, i) => (i * 7919) % 20_000);
      const runs = lengths.map((length) =>
        models.get("dynamic").run({ x: Tensor.from(new Float32Array(length).fill(1)) })
      );
      for (const [i, { y }] of (await Promise.all(runs)).entries()) assert.deepEqual(y!.shape, [1, lengths[i]]);
    });

    it("may have a shape that the model does not declare", async () => {
      for (const fed of [x, rows, floats([1], []), floats([], [0, 3]), x]) {
        for await (const { y } of models.results("undeclared", { x: fed })) {
          assert.deepEqual([y!.shape, [...y!.data]], [fed.shape, [...fed.data]]);
        }
      }
      using given = nativeZeros("float32", [2, 2]);
      await models.get("undeclared").run({ x: rows }, { outputs: { y: given } });
      assert.deepEqual([...given.data], [1, 2, 3, 4]);
    });

    it("elsewhere than in the heap go with their result", async () => {
      for (const outputStorage of ["native", "shared"] as const) {
        for await (const out of models.results("state", feeds, { outputStorage })) {
          const { data } = out.y!.as("float32");
          assert.deepEqual([...data], [3, 8]);
          out[Symbol.dispose]();
          assert.deepEqual([data.length, out.next_state!.disposed], [0, true]);
        }
      }
    });

    it("in shared memory are for others to open", async () => {
      for await (const out of models.results("state", feeds, { outputStorage: "shared" })) {
        using result = out;
        using peer = Tensor.open(result.y!.ref);
        assert.deepEqual([...peer.data], [3, 8]);
      }
    });

    for (const [name, output] of [["sequence", "rows"], ["maps", "maps"], ["optional-empty", "maybe"]] as const) {
      it(`that hold no tensor are an error to fetch, while the other works: ${name}`, async () => {
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results(name, { x: rows }, { outputStorage })) {
            using result = out;
            assert.deepEqual([...result.y!.data], [1, 2, 3, 4]);
            assert.throws(() => result[output], failure("TypeError", "NOT_A_TENSOR", new RegExp(output)));
          }
        }
        if (name === "optional-empty") return;
        await models.refuses(name, { x: rows }, { outputs: [output] }, failure("TypeError", "NOT_A_TENSOR"));
      });
    }

    it("that are optional and hold a tensor are one", async () => {
      for await (const out of models.results("optional", { x: rows })) {
        assert.deepEqual([...out.maybe!.data], [1, 2, 3, 4]);
      }
    });

    it("may have names that objects have already", async () => {
      for await (const out of models.results("odd-names", { x })) {
        assert.deepEqual(Object.keys(out), ODD_NAMES);
        for (const name of ODD_NAMES) assert.deepEqual([...out[name]!.data], [1, 2]);
      }
    });
  });
}
