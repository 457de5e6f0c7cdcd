import assert from "node:assert/strict";
import { readdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import * as models from "../support/models.ts";
import { inPairs, type Outcome, outcome, runScript, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const SILERO = createRequire(import.meta.url).resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx");

interface ReportedRow {
  readonly model: string;
  readonly concurrency: number;
  readonly requests: number;
  readonly successes: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly messages: Readonly<Record<string, string>>;
  readonly latencyMs?: Readonly<Record<"min" | "mean" | "p50" | "p90" | "p99" | "p99_9" | "max", number>>;
  readonly histogram: string;
}

interface Report {
  readonly interrupted: boolean;
  readonly rows: readonly ReportedRow[];
}

class ModelFolder extends TemporaryFolder {
  /** Writes a model, and returns its path. */
  model(name: string, bytes: Uint8Array): string {
    writeFileSync(this.join(name), bytes);
    return this.join(name);
  }
}

function bench(...args: string[]): Promise<Outcome> {
  return runScript(MAIN, ["bench", "--warmup", "0", ...args]);
}

async function report(...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await bench("--json", ...args);
  assert.deepEqual([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

function decodedCount({ histogram }: ReportedRow): number {
  return decodeFromCompressedBase64(histogram, 64).totalCount;
}

describe("coload bench", () => {
  it("prints a table and how latencies are distributed, and nothing else", async () => {
    using folder = new ModelFolder();
    const { code, stdout, stderr } = await bench(folder.model("add.onnx", models.add()), "--requests", "1200");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^model +load +requests +errors +per second +mean +p50 +p90 +p99 +p99\.9 +max$/m);
    assert.match(stdout, /^add\.onnx +1 at once +1,200 +0 +[\d,]+( +[\d.]+ (ns|µs|ms|s)){6}$/m);
    assert.match(stdout, /^≤ +[\d.]+ (ns|µs|ms|s) +[\d,]+ +100\.00 % █*.?$/m);
  });

  it("counts every request once at each level", async () => {
    using folder = new ModelFolder();
    const add = folder.model("add.onnx", models.add());
    const { rows, interrupted } = await report(add, "--requests", "300", "--concurrency", "1,7");
    assert.equal(interrupted, false);
    assert.deepEqual(rows.map(({ concurrency }) => concurrency), [1, 7]);
    for (const row of rows) {
      assert.deepEqual([row.model, row.requests, row.successes, row.errors], [add, 300, 300, {}]);
      assert.equal(decodedCount(row), 300);
      const { min, mean, p50, p90, p99, p99_9, max } = row.latencyMs!, percentiles = [min, p50, p90, p99, p99_9, max];
      assert.deepEqual(percentiles, percentiles.toSorted((a, b) => a - b));
      assert.ok(min > 0 && min <= mean && mean <= max);
    }
  });

  it("ends with its time", async () => {
    using folder = new ModelFolder();
    const { rows: [row] } = await report(folder.model("add.onnx", models.add()), "--duration", "200ms");
    assert.ok(row!.requests > 0);
    assert.equal(decodedCount(row!), row!.requests);
  });

  it("sends as many requests in an open loop as arrive in its time", async () => {
    using folder = new ModelFolder();
    const add = folder.model("add.onnx", models.add()), open = ["--rate", "300/s", "--duration", "500ms"];
    for (const args of [open, [...open, "--sync"], [...open, "--concurrency", "1"]]) {
      const { rows: [row] } = await report(add, ...args);
      assert.deepEqual([row!.requests, row!.errors], [150, {}], args.join(" "));
    }
  });

  it("feeds models from each storage, on the calling thread or not", async () => {
    using folder = new ModelFolder();
    const strings = folder.model("strings.onnx", models.stringsAndNumbers());
    for (const storage of ["heap", "native", "shared"]) {
      for (const sync of [[], ["--sync"]]) {
        const { rows } = await report(strings, "--requests", "20", "--storage", storage, "--dim", "N=5", ...sync);
        assert.deepEqual(rows.map(({ successes }) => successes), [20], `${storage} ${sync}`);
      }
    }
  });

  it("feeds a real model with shapes and values that are given", async () => {
    const { rows: [row] } = await report(SILERO, "--requests", "10", "--shape", "input=1,512", "--value", "sr=16000");
    assert.equal(row!.successes, 10);
  });

  it("counts errors by code, and fails when all requests do", async () => {
    using folder = new ModelFolder();
    const failing = folder.model("failing.onnx", models.failingRun());
    const { code, stdout, stderr } = await bench(failing, "--requests", "40", "--concurrency", "3", "--json");
    const { rows: [row] } = JSON.parse(stdout) as Report, [error] = Object.keys(row!.errors);
    assert.equal(code, 1);
    assert.match(error!, /^ORT_/);
    assert.deepEqual([row!.requests, row!.successes, row!.errors], [40, 0, { [error!]: 40 }]);
    assert.equal(row!.latencyMs, undefined);
    assert.ok(stderr.includes(`all 40 requests to ${failing} failed: ${row!.messages[error!]}`), stderr);

    const shown = await bench(failing, "--requests", "40");
    assert.equal(shown.code, 1);
    assert.match(shown.stdout, /^failing\.onnx +1 at once +40 +40 ORT_\w+ +0( +-){6}$/m);
    assert.equal((await bench(failing, "--requests", "40", "--dim", "N=3")).code, 0);
  });

  it("writes percentile distributions, one for each line", async () => {
    using folder = new ModelFolder();
    const add = folder.model("add.onnx", models.add()), args = ["--requests", "50", "--histogram"];
    await report(add, ...args, folder.join("one.hgrm"));
    await report(add, add, ...args, folder.join("many.hgrm"), "--concurrency", "1,2");
    assert.deepEqual(
      readdirSync(folder.path).filter((name) => name.endsWith(".hgrm")).sort(),
      ["many-1.hgrm", "many-2.hgrm", "many-3.hgrm", "many-4.hgrm", "one.hgrm"],
    );
    const text = readFileSync(folder.join("one.hgrm"), "utf8");
    assert.match(text, /^ +Value +Percentile TotalCount 1\/\(1-Percentile\)\n/);
    assert.match(text, /Total count {4}= +50\]/);
  });

  it("prints what was measured when it is interrupted", async () => {
    using folder = new ModelFolder();
    const add = folder.model("add.onnx", models.add()), long = folder.model("long.onnx", models.bigMatMul(1024));
    const measured = Promise.withResolvers<void>();
    using watcher = Object.assign(watch(folder.path, (_, name) => name === "h-1.hgrm" && measured.resolve()), {
      [Symbol.dispose]: () => watcher.close(),
    });
    const args = [add, long, "--requests", "5000", "--warmup", "0", "--histogram", folder.join("h.hgrm"), "--json"];
    const child = startScript(MAIN, ["bench", ...args]), over = outcome(child);
    await Promise.race([measured.promise, over]);
    process.kill(child.pid!, "SIGINT"); // after child.kill, Deno tells of no exit code
    const { code, stdout, stderr } = await over;
    assert.deepEqual([code, stderr], [130, "coload: interrupted by SIGINT\n"]);
    const { interrupted, rows } = JSON.parse(stdout) as Report;
    assert.equal(interrupted, true);
    assert.equal(rows[0]!.requests, 5000);
    assert.ok(rows.length === 1 || rows[1]!.requests < 5000);
  });

  it("prints what was measured when a model cannot be loaded", async () => {
    using folder = new ModelFolder();
    const add = folder.model("add.onnx", models.add());
    const { code, stdout, stderr } = await bench(add, folder.join("absent.onnx"), "--requests", "10", "--json");
    assert.equal(code, 1);
    assert.match(stderr, /^coload: Cannot load model .*absent\.onnx/);
    assert.deepEqual((JSON.parse(stdout) as Report).rows.map(({ requests }) => requests), [10]);
  });

  it("refuses names and shapes that the model does not have", async () => {
    using folder = new ModelFolder();
    const model = folder.model("strings.onnx", models.stringsAndNumbers());
    const wrong: [string[], RegExp][] = [
      [["--dim", "M=2"], /Cannot set dimension "M": the model's open dimensions are N$/m],
      [["--shape", "y=2"], /Cannot give input "y" a shape: the model's inputs are text, x$/m],
      [["--shape", "x=2,2"], /Cannot give input "x" the shape \[2, 2\]: \[N\] wanted$/m],
      [["--value", "text=1"], /Cannot fill input "text" with 1: its dtype is string$/m],
    ];
    await inPairs(wrong, async ([args, message]) => {
      const { code, stderr } = await bench(model, ...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    });
  });

  it("refuses what it does not understand", async () => {
    const wrong: [string[], RegExp][] = [
      [[], /missing required argument 'models'/],
      [["m", "--concurrency", "1,,2"], /'1,,2' is invalid. Whole numbers from 1 to 100000, such as 1,4,16, wanted/],
      [["m", "--concurrency", "0"], /Whole numbers from 1/],
      [["m", "--duration", "10"], /'10' is invalid. A time longer than nothing, such as 10s/],
      [["m", "--duration", "0s"], /A time longer than nothing/],
      [["m", "--warmup", "soon"], /'soon' is invalid. A time, such as 2s/],
      [["m", "--requests", "1.5"], /'1.5' is invalid. A whole number from 1/],
      [["m", "--rate", "0"], /'0' is invalid. Requests a second, up to 1000000/],
      [["m", "--dim", "N"], /'N' is invalid. A name and a size/],
      [["m", "--shape", "x=1x2"], /'x=1x2' is invalid. A name and sizes/],
      [["m", "--dim", "N=1", "--dim", "N=2"], /'N=2' is invalid. "N" is given twice/],
      [["m", "--value", "x=two"], /'x=two' is invalid. A name and a number/],
      [["m", "--storage", "disk"], /Allowed choices are heap, native, shared/],
      [["m", "--clients", "2"], /--clients is for an --endpoint/],
      [["m", "--sync", "--concurrency", "1,2"], /--sync sends one request at a time, --concurrency 1,2 found/],
      [["m", "--histogram", "/no/such/folder/x.hgrm"], /--histogram wants a file in a folder that is there/],
    ];
    await Promise.all(wrong.map(async ([args, message]) => {
      const { code, stdout, stderr } = await bench(...args);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, message);
    }));
  });
});
