import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import zlib from "node:zlib";
import { startScript } from "../../cli/spawn.ts";
import { plant, randomFrom } from "../../memory/support.ts";
import { add, identity } from "../../support/models.ts";
import { eventually } from "./held_worker.ts";
import { ask, type Question, serveHttp } from "./support.ts";

const REQUESTS = Number(process.env.COLOAD_HOSTILE_REQUESTS ?? 1500);
const CONNECTIONS = Number(process.env.COLOAD_SILENT_CONNECTIONS ?? 1000);
/** Descriptors that the worker and this test need beside those connections. */
const OTHER_DESCRIPTORS = 500;
const SILENT = new URL("children/silent_connections.ts", import.meta.url).pathname;

const models = { add: add(), any: identity("float32", ["n"]), text: identity("string", ["n"]) };
let served: Awaited<ReturnType<typeof serveHttp>>;
before(async () => {
  served = await serveHttp(models, {
    allowClientSharedMemory: true,
    allowRepositoryControl: true,
    maxBodyBytes: 1 << 20,
  });
});
after(() => served[Symbol.asyncDispose]());

const addition = {
  id: "7",
  inputs: ["a", "b"].map((name) => ({ name, shape: [2], datatype: "FP32", data: [1, 2] })),
  outputs: [{ name: "c", parameters: { binary_data: false } }],
  parameters: { priority: 1, timeout: 1_000_000 },
};
const descriptors = (): number => readdirSync("/proc/self/fd").length;

const ODD_MODELS = ["nothing", "stats", "..%2F..%2Fetc", "%00", "%E2%82", "a".repeat(2000), ""];
const MODELS = [...new Array(4).fill(["add", "any", "text"]).flat(), ...ODD_MODELS];
const VERSIONS = ["", "", "", "", "/versions/1", "/versions/1", "/versions/2", "/versions/-1", "/versions/"];
const REGIONS = ["", "/region/in", "/region/in", "/region/other", "/region/..%2Fx", "/region/%0A", "/region/"];
const METHODS = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
type Pick = <T>(list: readonly T[]) => T;

/** Everything that can be asked for, and more. */
const PATHS: readonly ((pick: Pick) => string)[] = [
  () => "/v2",
  () => "/v2/health/live",
  () => "/v2/health/ready",
  ...["", "/ready", "/config", "/stats", "/infer", "/infer", "/infer", "/generate", "/trace/setting"].map(
    (rest) => (pick: Pick) => `/v2/models/${pick(MODELS)}${pick(VERSIONS)}${rest}`,
  ),
  () => "/v2/models/add/infer",
  () => "/v2/models/stats",
  () => "/v2/repository/index",
  (pick) => `/v2/repository/models/${pick(MODELS)}/load`,
  (pick) => `/v2/repository/models/${pick(["text", ...ODD_MODELS])}/unload`,
  ...["status", "register", "unregister"].flatMap((action) =>
    ["system", "cuda"].map((kind) => (pick: Pick) => `/v2/${kind}sharedmemory${pick(REGIONS)}/${action}`)
  ),
  () => "/metrics",
  () => "/v2/coload/status",
  (pick) => pick(["/", "//", "/v2/", "/v3", "/v2/%", "/v2/%zz", "/v2?x=1", "/v2/logging", "/../v2", "http://x/v2"]),
];

/** Bodies that are right somewhere, which most are made of. */
function goodBodies(key: string): readonly string[] {
  const part = { shared_memory_region: "in", shared_memory_byte_size: 8, shared_memory_offset: 8 };
  const shared = { name: "x", shape: [2], datatype: "FP32", parameters: part };
  return [
    addition,
    { inputs: [{ name: "x", shape: [3], datatype: "FP32", data: [[1], [2.5], [-1e30]] }] },
    { inputs: [{ name: "x", shape: [2], datatype: "BYTES", data: ["ü", ""] }] },
    { inputs: [{ name: "x", shape: [2], datatype: "FP32", parameters: { binary_data_size: 8 } }] },
    { inputs: [shared], outputs: [{ name: "y", parameters: part }] },
    { key, offset: 0, byte_size: 64 },
    { parameters: { config: `{"max_batch_size":2}` } },
    { ready: true },
  ].map((body) => JSON.stringify(body));
}
/** The first of them, which are inferences. */
const INFERENCES = 5;
const ODD = [
  "",
  "[]",
  "null",
  "1",
  `"x"`,
  "{}",
  `{"inputs":{}}`,
  `{"inputs":[null]}`,
  "[".repeat(5000),
  "\0",
  "{".repeat(99),
];
const LENGTHS = ["0", "1", "64", "99999", "-1", "1e3", "", "18446744073709551615"];

function pack(body: string | Uint8Array, encoding: string | undefined): Uint8Array {
  const bytes = Buffer.from(body as string);
  return encoding === "gzip" ? zlib.gzipSync(bytes) : encoding === "deflate" ? zlib.deflateSync(bytes) : bytes;
}

/** Requests of a seed: the first ones ask for everything by every method. */
function questions(seed: number, good: readonly string[]): (index: number) => [path: string, question: Question] {
  const below = randomFrom(seed), pick: Pick = (list) => list[below(list.length)]!;
  const isSo = (oneIn: number): boolean => below(oneIn) === 0;
  const body = (path: string): string | Uint8Array => {
    const text = pick(path.endsWith("/infer") ? good.slice(0, INFERENCES) : good), at = below(text.length);
    switch (below(9)) {
      case 0:
        return Uint8Array.from({ length: below(300) }, () => below(256));
      case 1:
        return pick(ODD);
      case 2:
        return text.slice(0, at);
      case 3:
        return text.slice(0, at) + pick(["9", "-", '"', "]", "}", ",", "e999", "null", "\\u0000"]) + text.slice(at + 1);
      case 4:
        return text + "\0".repeat(below(20));
      default:
        return text;
    }
  };
  return (index) => {
    const path = PATHS[index % PATHS.length]!(pick), round = Math.floor(index / PATHS.length);
    const method = METHODS[round] ?? (isSo(10) ? pick(METHODS) : isSo(4) ? "GET" : "POST");
    const headers: Record<string, string> = {};
    if (isSo(6)) headers["inference-header-content-length"] = pick(LENGTHS);
    if (isSo(8)) headers["accept-encoding"] = pick(["gzip", "deflate", "br", "gzip, deflate"]);
    if (isSo(30)) headers.origin = "https://evil.example";
    if (isSo(30)) headers.host = pick(["evil.example", "[::1", "localhost:1"]);
    if (isSo(4)) return [path, { method, headers }];
    const encoding = isSo(8) ? pick(["gzip", "deflate", "br", "x"]) : undefined;
    const bytes = pack(body(path), isSo(2) ? encoding : undefined);
    if (encoding !== undefined) headers["content-encoding"] = encoding;
    headers["content-length"] = String(bytes.length); // of GET and others, clients do not say it by themselves
    return [path, { method, headers, body: bytes }];
  };
}

const STATUSES = [200, 400, 403, 404, 405, 413, 415, 501, 503];

/** What is wrong with an answer; `undefined`: it is as it must be. */
async function fault(path: string, question: Question, agent: http.Agent): Promise<string | undefined> {
  const what = `${path.slice(0, 60)} ${JSON.stringify(question).slice(0, 600)}`;
  try {
    const { status, text } = await ask(served.endpoint, path, { ...question, agent });
    const isFine = status === 200 || question.method === "HEAD" || /^\{"error":".+"\}$/s.test(text);
    return STATUSES.includes(status) && isFine ? undefined : `${status} ${text.slice(0, 200)}: ${what}`;
  } catch (error) {
    return `${(error as Error).message}: ${what}`;
  }
}

describe("whatever is sent", () => {
  it(`${REQUESTS} requests of all routes and methods are answered with a reason, and nothing is left of them`, async () => {
    using file = plant(new Uint8Array(64));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 }), begin = descriptors();
    const next = questions(1, goodBodies(`/${file.name}`)), faults: string[] = [];
    let sent = 0;
    await Promise.all(Array.from({ length: 16 }, async () => {
      while (sent < REQUESTS) {
        const [path, question] = next(sent++), found = await fault(path, question, agent);
        if (found !== undefined) faults.push(found);
      }
    }));
    assert.deepEqual(faults, []);
    for (const name of Object.keys(models)) {
      assert.equal((await served.ask(`/v2/repository/models/${name}/load`, { body: "{}" })).status, 200);
    }
    assert.equal(
      (await served.ask("/v2/models/add/infer", { body: JSON.stringify(addition) })).json.outputs[0].data[1],
      4,
    );
    assert.equal((await served.ask("/v2/systemsharedmemory/unregister", { body: "" })).status, 200);
    agent.destroy();
    await eventually(() => descriptors() <= begin);
  });
});

describe("connections that say nothing", () => {
  it("keep nobody from being answered", async () => {
    const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))!, begin = descriptors();
    const count = Math.min(CONNECTIONS, Number(limit) - begin - OTHER_DESCRIPTORS);
    const { hostname, port } = new URL(served.endpoint);
    const child = startScript(SILENT, [hostname, port, String(count)]), closed = once(child, "close");
    await once(child.stdout!, "data");
    await eventually(() => descriptors() >= begin + count);
    for (let i = 0; i < 20; i++) {
      assert.equal((await served.ask("/v2/models/any")).status, 200);
      assert.equal((await served.ask("/v2/models/add/infer", { body: JSON.stringify(addition) })).status, 200);
    }
    child.stdin!.end();
    await closed;
    await eventually(() => descriptors() < begin + OTHER_DESCRIPTORS);
    assert.equal((await served.ask("/v2/health/ready")).status, 200);
  });
});
