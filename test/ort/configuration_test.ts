import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { describe, it } from "node:test";
import { configuration, configure } from "../../src/ort/configuration.ts";
import { runChild } from "../support/child.ts";
import { failure } from "../support/sessions.ts";

const CHILD = new URL("./children/configured.ts", import.meta.url);

interface Seen {
  readonly results: readonly string[];
  readonly threads: number;
  readonly maxConcurrentRuns: number;
  readonly allowSpinning: boolean;
}

async function inProcess(when: string, ...options: object[]): Promise<Seen> {
  const { code, stdout, stderr } = await runChild(CHILD, [when, ...options.map((option) => JSON.stringify(option))]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe("configure", () => {
  it("sets what holds for the process, once; the same again is harmless", async () => {
    const seen = await inProcess(
      "first",
      { threads: 3 },
      { threads: 3 },
      { threads: 4 },
      { maxConcurrentRuns: 99 },
      {},
    );
    const already = "TypeError ALREADY_CONFIGURED";
    assert.deepEqual(seen.results, ["ok", "ok", already, already, "ok"]);
    assert.deepEqual([seen.threads, seen.maxConcurrentRuns, seen.allowSpinning], [
      3,
      Math.max(2, availableParallelism()),
      false,
    ]);
  });

  it("throws after first use, unless it says what holds", async () => {
    const threads = availableParallelism();
    const { results } = await inProcess("used", { threads: threads + 1 }, { threads }, { library: "/other.so" });
    assert.deepEqual(results, ["TypeError ALREADY_CONFIGURED", "ok", "TypeError ALREADY_CONFIGURED"]);
  });

  it("takes undefined for the default", async () => {
    const { results, threads } = await inProcess("undefined");
    assert.deepEqual([results, threads], [["ok"], availableParallelism()]);
  });

  it("holds for every Worker", async () => {
    const { results } = await inProcess("worker", { threads: 3 });
    assert.deepEqual(results, ["ok", "threads 3", "ALREADY_CONFIGURED"]);
  });

  it("does not keep what it refuses", async () => {
    const { results, threads } = await inProcess("first", { threads: 0 }, { threads: 5 });
    assert.deepEqual([results, threads], [["RangeError OUT_OF_RANGE", "ok"], 5]);
  });

  it("refuses what is no configuration", () => {
    const refuses = (options: unknown, name: string, code: string): void =>
      assert.throws(() => configure(options as Parameters<typeof configure>[0]), failure(name, code));
    for (const threads of [0, -1, 1.5, NaN, Infinity, 1025, "4", null]) {
      refuses({ threads }, "RangeError", "OUT_OF_RANGE");
    }
    refuses({ maxConcurrentRuns: 0 }, "RangeError", "OUT_OF_RANGE");
    for (const library of ["", 3, null, new URL("file:///x")]) refuses({ library }, "TypeError", "INVALID_ARGUMENT");
    refuses({ cacheDir: "" }, "TypeError", "INVALID_ARGUMENT");
    refuses({ allowSpinning: 1 }, "TypeError", "INVALID_ARGUMENT");
    refuses({ thread: 2 }, "TypeError", "INVALID_ARGUMENT");
    for (const options of [undefined, null, 3]) refuses(options, "TypeError", "INVALID_ARGUMENT");
    assert.ok(configuration().threads >= 1);
  });
});
