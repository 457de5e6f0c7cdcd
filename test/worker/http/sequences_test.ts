import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SequenceOptions } from "../../../src/protocol/call_options.ts";
import { CallerSequences } from "../../../src/worker/http/caller_sequences.ts";
import { accumulate, add } from "../../support/models.ts";
import { Place } from "../support.ts";
import { serveHttp } from "./support.ts";

type Id = number | string;

/** A worker with a model that sums up, and how to ask it for the next sum of a sequence. */
async function serve() {
  const place = new Place(), path = place.file("accumulate.onnx", accumulate());
  const served = await serveHttp({ accumulate: { path, state: { SUM: "OUTPUT" } }, add: add() });
  const next = async (
    id: Id,
    value: number,
    more: Readonly<Record<string, boolean>> = {},
  ): Promise<number | string> => {
    const inputs = [{ name: "INPUT", shape: [1, 1], datatype: "INT32", data: [value] }];
    const body = JSON.stringify({ inputs, parameters: { sequence_id: id, ...more } });
    const { status, json } = await served.ask("/v2/models/accumulate/infer", { body });
    return status === 200 ? json.outputs[0].data[0] : `${status}: ${json.error}`;
  };
  return {
    ...served,
    next,
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      place[Symbol.dispose]();
    },
  };
}

const START = { sequence_start: true }, END = { sequence_end: true };

describe("a sequence over HTTP", () => {
  it("keeps its state from request to request, whichever connection they come on", async () => {
    await using served = await serve();
    const { next } = served;
    assert.deepEqual([await next(7, 1, START), await next("7", 100, START)], [1, 100]);
    assert.deepEqual([await next(7, 2), await next("7", 200), await next(7, 3)], [3, 300, 6]);
    assert.equal(await next(7, 4, START), 4);
    assert.equal(await next(7, 5, END), 9);
    assert.match(String(await next(7, 6)), /^400: .*sequence "7".*not started, or is over/);
    assert.equal(await next("7", 300, { ...START, ...END }), 300);
    assert.match(String(await next("7", 1)), /^400: /);
  });

  it("is answered in its order, however many requests are on their way", async () => {
    await using served = await serve();
    const { next } = served;
    await next(1, 0, START);
    const sums = await Promise.all(Array.from({ length: 100 }, () => next(1, 1)));
    assert.deepEqual(
      sums.map(Number).toSorted((one, other) => one - other),
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
  });

  it("is told of: what keeps state, and that there are any", async () => {
    await using served = await serve();
    assert.ok((await served.ask("/v2")).json.extensions.includes("sequence"));
    assert.deepEqual((await served.ask("/v2/models/accumulate/config")).json.sequence_batching, {
      state: [{ input_name: "SUM", output_name: "OUTPUT", data_type: "TYPE_INT32", dims: [1, 1] }],
    });
    assert.equal((await served.ask("/v2/models/add/config")).json.sequence_batching, undefined);
    await using without = await serveHttp({ add: add() });
    assert.ok(!(await without.ask("/v2")).json.extensions.includes("sequence"));
  });

  it("is refused where no state is kept, and where its state is fed", async () => {
    await using served = await serve();
    const part = (name: string, datatype: string, shape: readonly number[]) => //
    ({ name, shape, datatype, data: [1, 1].slice(0, shape.at(-1)) });
    const infer = async (model: string, inputs: readonly unknown[]) => {
      const body = JSON.stringify({ inputs, parameters: { sequence_id: 3, ...START } });
      return (await served.ask(`/v2/models/${model}/infer`, { body })).status;
    };
    assert.equal(await infer("add", [part("a", "FP32", [2]), part("b", "FP32", [2])]), 501);
    assert.equal(await infer("accumulate", [part("INPUT", "INT32", [1, 1]), part("SUM", "INT32", [1, 1])]), 400);
    assert.match(String(await served.next(3, 1)), /^400: .*not started/); // what failed to start is unknown
  });
});

describe("the sequences of callers", () => {
  const place = (id: Id, { start = false, end = false } = {}) => ({ id, start, end });
  const started = place("a", { start: true }), echo = (sequence: SequenceOptions) => Promise.resolve(sequence);
  const failing = () => Promise.reject(new Error("it failed"));

  it("have numbers that are never another's, nor those of a sequence before", async () => {
    const sequences = new CallerSequences({ most: 2, idleMs: 60_000 }), numbers: number[] = [];
    const note = ({ id }: SequenceOptions) => Promise.resolve(void numbers.push(id));
    await sequences.within("m", started, note);
    await sequences.within("n", started, note);
    await sequences.within("m", started, note); // anew: what was before is not gone on with if this never runs
    assert.equal(new Set(numbers).size, 3);
    await sequences.within("m", place("a"), note);
    await sequences.within("m", place("a", { end: true }), note);
    assert.deepEqual([numbers.slice(2), sequences.count], [[numbers[2], numbers[2], numbers[2]], 1]);
  });

  it("are refused where there are too many, until one was left for long", async () => {
    const sequences = new CallerSequences({ most: 1, idleMs: 60_000 }), next = place("b", { start: true });
    await sequences.within("m", started, echo);
    await assert.rejects(sequences.within("m", next, echo), { code: "WORKER_BUSY" });
    const impatient = new CallerSequences({ most: 1, idleMs: 0 });
    await impatient.within("m", started, async () => {
      await assert.rejects(impatient.within("m", next, echo), { code: "WORKER_BUSY" }); // one that runs is not left
    });
    await impatient.within("m", next, echo);
    await assert.rejects(impatient.within("m", place("a"), echo), { status: 400 });
    assert.equal(impatient.count, 1);
  });

  it("stay as they were where a request fails, and do not begin", async () => {
    const sequences = new CallerSequences({ most: 1, idleMs: 60_000 });
    await assert.rejects(sequences.within("m", started, failing), /it failed/);
    assert.equal(sequences.count, 0);
    const { id } = await sequences.within("m", started, echo);
    await assert.rejects(sequences.within("m", place("a", { end: true }), failing), /it failed/);
    assert.equal((await sequences.within("m", place("a"), echo)).id, id);
  });

  it("are unknown when their start fails, also to who asked meanwhile", async () => {
    const sequences = new CallerSequences({ most: 1, idleMs: 60_000 }),
      { promise, reject } = Promise.withResolvers<void>();
    const starting = sequences.within("m", started, () => promise);
    const { id } = await sequences.within("m", place("a"), echo);
    reject(new Error("it failed"));
    await assert.rejects(starting, /it failed/);
    await assert.rejects(sequences.within("m", place("a"), echo), { status: 400 });
    assert.notEqual((await sequences.within("m", started, echo)).id, id);
  });

  it("go on where one starts while its last request is still running", async () => {
    const sequences = new CallerSequences({ most: 1, idleMs: 60_000 });
    const { promise, resolve } = Promise.withResolvers<void>();
    await sequences.within("m", started, echo);
    const last = sequences.within("m", place("a", { end: true }), () => promise);
    const again = sequences.within("m", started, () => promise);
    resolve();
    await Promise.all([last, again]);
    assert.equal(sequences.count, 1);
  });

  it("are forgotten when the worker knows them no more", async () => {
    const sequences = new CallerSequences({ most: 1, idleMs: 60_000 });
    await sequences.within("m", started, echo);
    const gone = () => Promise.reject(Object.assign(new TypeError("of 1"), { code: "UNKNOWN_SEQUENCE" }));
    await assert.rejects(sequences.within("m", place("a"), gone), { status: 400, message: /"a" of model "m"/ });
    assert.equal(sequences.count, 0);
  });
});
