import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { MadeFeeds } from "../../src/cli/bench/feeds.ts";
import type { ValueInfo } from "../../src/ort/type_info.ts";
import * as models from "../support/models.ts";
import type { ModelDtype } from "../support/models.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { open } from "../support/sessions.ts";

const input = (dtype: string, shape: ValueInfo["shape"]): ValueInfo[] => [{ name: "x", kind: "tensor", dtype, shape }];

after(() => SharedMemoryAllocator.default[Symbol.dispose]());

describe("feeds that are made up", () => {
  it("are what models of each dtype run with, from each storage", async () => {
    for (const dtype of Object.keys(models.DTYPES) as ModelDtype[]) {
      await using session = await open(models.identity(dtype, ["N", 2]));
      for (const storage of ["heap", "native", "shared"] as const) {
        using made = new MadeFeeds(session.inputs, { storage, dimensions: { N: 3 } });
        const { x } = made.feeds;
        assert.deepEqual([x!.dtype, x!.shape, x!.storage], [dtype, [3, 2], dtype === "string" ? "heap" : storage]);
        using out = session.runSync(made.feeds);
        assert.deepEqual(out.y!.data, x!.data);
      }
    }
  });

  it("are floats from -1 to 1 and integers of 1, the same ones each time", () => {
    using floats = new MadeFeeds(input("float32", [100]), { storage: "heap" });
    using again = new MadeFeeds(input("float32", [100]), { storage: "native" });
    const data = [...floats.feeds.x!.as("float32").data];
    assert.ok(data.every((value) => Math.abs(value) <= 1) && new Set(data).size > 90);
    assert.deepEqual([...again.feeds.x!.as("float32").data], data);
    using integers = new MadeFeeds(input("int64", [-1, 3]), { storage: "heap" });
    assert.deepEqual([...integers.feeds.x!.as("int64").data], [1n, 1n, 1n]);
  });

  it("are of a value and a shape that are given", () => {
    const options = { storage: "heap", values: { x: 16000 }, shapes: { x: [1, 2] } } as const;
    using made = new MadeFeeds(input("int64", [-1, 2]), options);
    assert.deepEqual([...made.feeds.x!.as("int64").data], [16000n, 16000n]);
  });

  it("are refused where a value, shape or name does not fit", () => {
    const wrong = [
      { values: { x: 300 } },
      { values: { x: 0.5 } },
      { values: { y: 1 } },
      { shapes: { x: [2, 3] } },
      { shapes: { y: [2] } },
      { dimensions: { M: 2 } },
    ];
    for (const options of wrong) {
      assert.throws(() => new MadeFeeds(input("uint8", ["N", 2]), { storage: "heap", ...options }), {
        code: "INVALID_ARGUMENT",
      }, JSON.stringify(options));
    }
    assert.throws(() => new MadeFeeds(input("float8e4m3fn", [2]), { storage: "heap" }), { code: "UNSUPPORTED" });
  });
});
