import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { type ModelConfig, ModelWorker } from "../../../src/worker/mod.ts";
import { accumulate, add, DTYPES, identity, type ModelDtype, slow } from "../../support/models.ts";
import { runPython, stockPython } from "../../support/stock_client.ts";
import { Place } from "../support.ts";

/** What the script does, by the names of its functions. */
const GROUPS = [
  "health",
  "metadata",
  "json tensors",
  "binary tensors",
  "requests",
  "compression",
  "many at once",
  "schedule",
  "shared memory",
  "repository",
  "statistics",
  "sequences",
  "errors",
  "asyncio client",
];
const SCRIPT = new URL("stock_client.py", import.meta.url);
/** The protocol's names of dtypes that it does not call as they are called here. */
const DATATYPES: Partial<Record<ModelDtype, string>> = {
  float16: "fp16",
  bfloat16: "bf16",
  float32: "fp32",
  float64: "fp64",
  string: "bytes",
};

interface Check {
  readonly check: string;
  readonly wanted: string;
  readonly found: string;
}

const stock = await stockPython(), reason = "reason" in stock ? stock.reason : undefined;
const checks = new Map<string, Check[]>();

/** The models that the script asks for. */
function models(place: Place): Readonly<Record<string, ModelConfig>> {
  const named = {
    ...Object.fromEntries(
      (Object.keys(DTYPES) as ModelDtype[]).map((dtype) => [
        `identity_${DATATYPES[dtype] ?? dtype}`,
        identity(dtype, ["n"]),
      ]),
    ),
    add: add({ dtype: "int32", shape: ["n"] }),
    matrix: identity("float32", ["n", "m"]),
    rows: identity("float32", ["n", 2]),
    counted: identity("float32", ["n"]),
    spare: identity("float32", ["n"]),
    slow: slow(64),
    accumulate: accumulate(),
  };
  const located = Object.entries(named).map(([name, bytes]) => [name, { path: place.file(`${name}.onnx`, bytes) }]);
  const found = Object.fromEntries(located);
  return {
    ...found,
    rows: { ...found.rows!, maxBatchSize: 8 },
    accumulate: { ...found.accumulate!, state: { SUM: "OUTPUT" } },
  };
}

before(async () => {
  if (!("python" in stock)) return;
  using place = new Place();
  await using worker = await ModelWorker.serve({
    models: models(place),
    socket: place.socket,
    executors: 1,
    http: {
      listen: "127.0.0.1:0",
      serverName: "triton",
      allowClientSharedMemory: true,
      allowRepositoryControl: true,
    },
  });
  const { host } = new URL(worker.endpoints.http!);
  const { code, stdout, stderr } = await runPython(stock.python, SCRIPT, [host, ...GROUPS]);
  let group: Check[] = [];
  for (const line of stdout.trim().split("\n")) {
    const said = JSON.parse(line) as Check | { readonly group: string };
    if ("group" in said) checks.set(said.group, group = []);
    else group.push(said);
  }
  assert.equal(code, 0, stderr);
});

describe("the stock client of PyPI", () => {
  const skip = reason !== undefined, why = skip ? `: skipped, ${reason}` : "";
  for (const name of GROUPS) {
    it(`${name}${why}`, { skip }, () => {
      const found = checks.get(name) ?? [];
      assert.ok(found.length > 0);
      for (const { check, wanted, found: actual } of found) assert.equal(actual, wanted, check);
    });
  }
});
