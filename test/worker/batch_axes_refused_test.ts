import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { nothingLeft } from "../support/left.ts";
import {
  add,
  dynamicOutput,
  mapOutput,
  optionalOutput,
  sequenceInput,
  sequenceOutput,
  strings,
  stringsAndNumbers,
} from "../support/models.ts";
import { axesOf, graph, looksBack, looksBackInTable, operator, refuses, withMean } from "./batch_axes_support.ts";

afterEach(nothingLeft);

describe("findBatchAxes refuses", () => {
  it("a fixed batch, of 1 or of more", async () => {
    await refuses(add({ shape: [1, 4] }), /^no input has an open dimension$/);
    await refuses(add({ shape: [4, 4] }), /^no input has an open dimension$/);
  });

  it("what is normalized over the batch", async () => {
    const softmax = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 3]);
      return graph.add("Mul", [x, graph.add("Softmax", [x], { axis: 0 })]);
    }, ["N", 3]);
    await refuses(softmax, /x by axis 0: output ".*" differs by .* in a joined run of 2/);
    await refuses(withMean(-0.5), /differs by/);
  });

  it("what is normalized by the batch's range, as dynamic quantization does", async () => {
    await refuses(operator("MatMul, dynamically quantized"), /differs by/);
  });

  it("sums over the rows before, or after", async () => {
    for (const reverse of [0, 1]) {
      const sums = graph((graph) => {
        const x = graph.input("x", "float32", ["N", 3]);
        return graph.add("CumSum", [x, graph.constant("int64", [], [0])], { reverse });
      }, ["N", 3]);
      await refuses(sums, /differs by/);
    }
  });

  it("a row that looks back to one before, as far as a batch goes", async () => {
    await refuses(looksBack(1), /differs by/, { maxBatchSize: 2 });
    await refuses(looksBack(5), /in a joined run of 8/);
    assert.deepEqual(await axesOf(looksBack(8)), [{ x: 0 }, [0]]);
  });

  it("the same where the model takes only some of the requests that were made up", async () => {
    await refuses(looksBackInTable(7), /in a joined run of 8/);
    for (const maxBatchSize of [2, 8]) {
      assert.deepEqual(await axesOf(looksBackInTable(8), { maxBatchSize }), [{ x: 0 }, [0]]);
    }
  });

  it("each row against each other", async () => {
    const products = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 3]);
      return graph.add("MatMul", [x, graph.add("Transpose", [x], { perm: [1, 0] })]);
    }, ["N", "N"]);
    await refuses(products, /is \[1, 1\] for 1 row and \[2, 2\] for 2/);
  });

  it("rows in another order", async () => {
    const reversed = graph((graph) => {
      const ints = [[-1], [-(2 ** 31)], [0], [-1]].map((values) => graph.constant("int64", [1], values));
      return graph.add("Slice", [graph.input("x", "float32", ["N", 3]), ...ints]);
    }, ["N", 3]);
    await refuses(reversed, /differs by/);
  });

  it("a batch that is merged with the time", async () => {
    const merged = (...sizes: number[]): Uint8Array<ArrayBuffer> =>
      graph((graph) => {
        const x = graph.input("x", "float32", ["N", "T", 3]);
        return graph.add("Reshape", [x, graph.constant("int64", [sizes.length], sizes)]);
      }, ["M", ...sizes.slice(1)]);
    await refuses(merged(-1), /is \[24\] for 1 row and \[48\] for 2/);
    await refuses(merged(-1, 3), /is \[8, 3\] for 1 row and \[16, 3\] for 2/);
  });

  it("an open dimension that is a time", async () => {
    const sums = graph((graph) => {
      const x = graph.input("x", "float32", [1, "T", 3]);
      return graph.add("CumSum", [x, graph.constant("int64", [], [1])]);
    }, [1, "T", 3]);
    await refuses(sums, /x by axis 1: output ".*" differs by/);
  });

  it("an output that does not grow", async () => {
    const mean = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 3]);
      graph.output(graph.add("Add", [x, x]), "float32", ["N", 3]);
      return graph.add("ReduceMean", [x], { keepdims: 0 });
    }, []);
    await refuses(mean, /^output ".*" does not grow with a batch: it is always \[\]$/);
    const last = graph((graph) => {
      const ints = [[-1], [2 ** 31], [0]].map((values) => graph.constant("int64", [1], values));
      return graph.add("Slice", [graph.input("x", "float32", ["N", 3]), ...ints]);
    }, ["M", 3]);
    await refuses(last, /does not grow with a batch: it stays \[1, 3\]/);
  });

  it("outputs whose shapes hang on values", async () => {
    await refuses(dynamicOutput(), /^x by axis 0: output "y"/);
    const filtered = graph((graph) => {
      const x = graph.input("x", "float32", ["N"]), least = graph.constant("float32", [], [-5]);
      return graph.add("Compress", [x, graph.add("Greater", [x, least])], { axis: 0 });
    }, ["M"]);
    await refuses(filtered, /^x by axis 0: output .* (does not grow|in a joined run)/);
  });

  it("a length that is the longest of the batch", async () => {
    const cut = graph((graph) => {
      const x = graph.input("x", "float32", ["N", "T"]), lengths = graph.input("lengths", "int64", ["N"]);
      const ints = [0, 1].map((value) => graph.constant("int64", [1], [value]));
      const longest = graph.add("ReduceMax", [lengths], { axes: [0], keepdims: 1 });
      return graph.add("Slice", [x, ints[0]!, longest, ints[1]!]);
    }, ["N", "M"]);
    await refuses(cut, /is \[1, 0\] for 1 row and \[2, 1\] for 2/);
  });

  it("a branch that hangs on the whole batch", async () => {
    await refuses(operator("If, weights inside"), /differs by/);
  });

  it("models with noise of their own", async () => {
    await refuses(operator("MatMul and noise"), /two runs of one request differ/);
    const dropout = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 64]);
      return graph.add("Dropout", [x, graph.constant("float32", [], [0.5]), graph.constant("bool", [], [1])]);
    }, ["N", 64]);
    await refuses(dropout, /two runs of one request differ/);
  });

  it("an output that tells no request from another", async () => {
    const nothing = graph((graph) => {
      const x = graph.input("x", "float32", ["N", 3]);
      return graph.add("Mul", [x, graph.constant("float32", [], [0])]);
    }, ["N", 3]);
    await refuses(nothing, /is the same for every request that was made up/);
  });

  it("strings, sequences, maps and optionals", async () => {
    await refuses(strings(), /"text" is of strings/);
    await refuses(stringsAndNumbers(), /"text" is of strings/);
    await refuses(sequenceInput(), /"items" is sequence/);
    await refuses(sequenceOutput(), /"rows" is sequence/);
    await refuses(mapOutput(), /"maps" is sequence<map/);
    await refuses(optionalOutput(), /"maybe" is optional/);
  });

  it("a batch of one", () => refuses(add({ shape: ["N"] }), /^a batch is of one row at most$/, { maxBatchSize: 1 }));

  it("models of which no request that is made up runs", async () => {
    const impossible = graph((graph) => {
      const x = graph.input("x", "float32", ["N", "W"]);
      return graph.add("MatMul", [x, graph.weight([97, 3])]);
    }, ["N", 3]);
    await refuses(impossible, /no request that was made up runs/);
  });
});
