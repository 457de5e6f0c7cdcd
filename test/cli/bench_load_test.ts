import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { arrivalCount, type Load, type Request, send } from "../../src/cli/bench/load.ts";
import { partOf } from "../../src/cli/bench/client_processes.ts";
import { Recording } from "../../src/cli/bench/recording.ts";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import * as models from "../support/models.ts";
import { floats, open, slowFeeds } from "../support/sessions.ts";

const never = new AbortController().signal;

function addRequest(session: InferenceSession): Request {
  const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
  return { run: () => session.run(feeds) };
}

async function sent(load: Load, request: Request, signal: AbortSignal = never): Promise<Recording> {
  const recording = new Recording();
  await send(load, request, recording, signal);
  return recording;
}

describe("a closed loop", () => {
  it("has no more requests on their way than its concurrency", async () => {
    await using session = await open(models.add());
    const { run } = addRequest(session);
    let onTheirWay = 0, most = 0;
    const counted: Request = {
      run: async () => {
        most = Math.max(most, ++onTheirWay);
        try {
          return await run();
        } finally {
          onTheirWay--;
        }
      },
    };
    assert.equal((await sent({ concurrency: 5, requests: 100 }, counted)).successes, 100);
    assert.equal(most, 5);
    most = 0;
    const open_ = { concurrency: 3, requests: 100, arrivals: { firstMs: 0, everyMs: 0.001 } };
    assert.equal((await sent(open_, counted)).successes, 100);
    assert.equal(most, 3);
  });

  it("sends no more requests than it is to, though its concurrency is larger", async () => {
    await using session = await open(models.add());
    assert.equal((await sent({ concurrency: 50, requests: 7 }, addRequest(session))).successes, 7);
  });

  it("counts failures among its requests", async () => {
    await using session = await open(models.add());
    const { run } = addRequest(session), wrong = { a: floats([1, 2, 3]), b: floats([3, 4]) };
    let sentSoFar = 0;
    const recording = await sent({ concurrency: 2, requests: 30 }, {
      run: () => ++sentSoFar % 3 === 0 ? session.run(wrong) : run(),
    });
    assert.deepEqual([recording.successes, recording.errors], [20, 10]);
    assert.deepEqual(recording.failures.map(({ code, count }) => [code, count]), [["INVALID_SHAPE", 10]]);
  });

  it("ends at once when aborted, and counts nothing that comes later", async () => {
    await using session = await open(models.slow());
    const feeds = slowFeeds(100), runs: Promise<unknown>[] = [], abort = new AbortController();
    const recording = await sent({ concurrency: 1, durationMs: 60_000 }, {
      run: () => {
        if (runs.length === 2) abort.abort();
        const running = session.run(feeds);
        runs.push(running);
        return running;
      },
    }, abort.signal);
    assert.equal(runs.length, 3);
    assert.equal(recording.successes, 2);
    await Promise.all(runs);
    assert.equal(recording.successes, 2);
  });
});

describe("an open loop", () => {
  it("counts latency from when a request should have begun", async () => {
    await using session = await open(models.slow());
    const feeds = slowFeeds(5), all = { concurrency: 1, requests: 10, arrivals: { firstMs: 0, everyMs: 0.001 } };
    let ranMs = 0;
    const { latency } = await sent(all, {
      run: async () => {
        const start = performance.now(), outputs = await session.run(feeds);
        ranMs += performance.now() - start;
        return outputs;
      },
    });
    assert.ok(latency!.max > ranMs * 0.98, `the last of 10 waited for 9 others: ${latency!.max} of ${ranMs} ms`);
  });

  it("begins no request before its time", async () => {
    await using session = await open(models.add());
    const begun: number[] = [], { run } = addRequest(session), begin = performance.now();
    await sent({ concurrency: 100, durationMs: 60, arrivals: { firstMs: 10, everyMs: 10 } }, {
      run: () => {
        begun.push(performance.now() - begin);
        return run();
      },
    });
    assert.equal(begun.length, 5);
    begun.forEach((time, i) => assert.ok(time >= 10 + i * 10, `${time}`));
  });

  it("holds as many arrivals as fit its time, also where a fraction is rounded", () => {
    const count = (rate: number, durationMs: number): number =>
      arrivalCount({ concurrency: 1, durationMs, arrivals: { firstMs: 0, everyMs: 1000 / rate } });
    for (const rate of [1, 3, 7, 30, 49, 333, 1000, 99_999]) assert.equal(count(rate, 3000), rate * 3);
    assert.equal(count(0.1, 1000), 1);
  });
});

describe("a load of several processes", () => {
  it("is sent in parts that make the whole", () => {
    const arrivals = { firstMs: 0, everyMs: 2 },
      load: Load = { concurrency: 4, durationMs: 101, requests: 10, arrivals };
    const parts = [0, 1, 2].map((index) => partOf(load, index, 3));
    assert.deepEqual(parts.map(({ requests }) => requests), [4, 3, 3]);
    assert.deepEqual(parts.map(({ concurrency }) => concurrency), [4, 4, 4]);
    const times = (part: Load): number[] =>
      Array.from({ length: arrivalCount(part) }, (_, i) => part.arrivals!.firstMs + i * part.arrivals!.everyMs);
    const whole = { concurrency: 4, durationMs: 101, arrivals };
    const all = [0, 1, 2].flatMap((index) => times(partOf(whole, index, 3))).sort((a, b) => a - b);
    assert.deepEqual(all, times(whole));
  });
});

describe("a recording", () => {
  it("is the same after it went to another process, and adds up", () => {
    const one = new Recording(), other = new Recording(), sum = new Recording();
    for (const ms of [0.001, 1, 1, 250]) one.succeeded(ms);
    other.succeeded(3_599_000);
    other.failed(Object.assign(new Error("full"), { code: "WORKER_BUSY" }));
    one.failed(new TypeError("plain"));
    one.end(10);
    other.end(20);
    for (const part of [one, other, one]) sum.add(JSON.parse(JSON.stringify(part.encode())));
    assert.deepEqual([sum.successes, sum.errors, sum.elapsedMs], [9, 3, 20]);
    assert.deepEqual(sum.failures, [
      { code: "TypeError", count: 2, message: "plain" },
      { code: "WORKER_BUSY", count: 1, message: "full" },
    ]);
    const { min, p50, max } = sum.latency!;
    assert.ok(Math.abs(min - 0.001) < 1e-6 && Math.abs(p50 - 1) < 1e-3 && Math.abs(max / 3_599_000 - 1) < 1e-3);
    assert.equal([...sum.counts()].reduce((total, { count }) => total + count, 0), 9);
  });

  it("has no latency without a success, and counts what takes longer than an hour as an hour", () => {
    const recording = new Recording();
    assert.equal(recording.latency, undefined);
    recording.succeeded(5e6);
    assert.equal(recording.latency!.max, 3_600_000);
    assert.deepEqual([...recording.counts()].map(({ count }) => count), [1]);
  });
});
