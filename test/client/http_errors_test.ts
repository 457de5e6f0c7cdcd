import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { failure, floats } from "../support/sessions.ts";
import { OipServer, reply } from "./oip_server.ts";

const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
const invalid = failure("TypeError", "INVALID_ARGUMENT"), broken = failure("WorkerError", "WORKER_PROTOCOL");
const unavailable = failure("WorkerError", "WORKER_UNAVAILABLE"), token = "s3cret-token";

describe("a request over HTTP that fails", () => {
  let server: OipServer, client: ModelClient;
  before(async () => {
    server = await OipServer.listen();
    client = await ModelClient.connect(server.endpoint, { token });
    await client.model("add");
  });
  beforeEach(() => {
    server.inferences = server.others = undefined;
    server.came.length = 0;
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const statuses: [number, string | undefined, string][] = [
    [400, "unexpected shape", "WORKER_PROTOCOL"],
    [401, "who are you", "WORKER_PROTOCOL"],
    [403, undefined, "WORKER_PROTOCOL"],
    [404, "unknown model", "UNKNOWN_MODEL"],
    [408, undefined, "WORKER_TIMEOUT"],
    [413, "too large", "WORKER_PROTOCOL"],
    [429, "slower", "WORKER_BUSY"],
    [500, "failed within", "WORKER_PROTOCOL"],
    [501, "not that", "WORKER_PROTOCOL"],
    [502, undefined, "WORKER_DIED"],
    [503, "queue full", "WORKER_BUSY"],
    [503, "the model failed", "WORKER_DIED"],
    [503, undefined, "WORKER_DIED"],
    [504, undefined, "WORKER_TIMEOUT"],
    [200 + 4, undefined, "WORKER_PROTOCOL"],
  ];
  for (const [status, words, code] of statuses) {
    it(`by ${status} ${words ? "in the server's words" : "without a word"} is ${code}`, async () => {
      server.inferences = (_came, response) =>
        words ? reply(response, status, { error: words }) : response.writeHead(status).end();
      const message = new RegExp(`${server.port} answers ${status}${words ? `: ${words}` : "$"}`);
      await assert.rejects(client.infer("add", feeds), failure("WorkerError", code, message));
      assert.equal(server.inferred.length, 1);
    });
  }

  it("in a worker of Coload's is the error that it was there", async () => {
    const codes = [
      "RangeError INVALID_SHAPE",
      "OrtError ORT_FAIL",
      "WorkerError WORKER_BUSY",
      "NativeError UNSUPPORTED",
    ];
    for (const told of codes) {
      server.inferences = (_came, response) => {
        response.setHeader("coload-error-code", told);
        reply(response, 400, { error: "as it was" });
      };
      const [name, code] = told.split(" ");
      await assert.rejects(client.infer("add", feeds), failure(name!, code!, /^as it was$/));
    }
    for (const odd of ["INVALID_SHAPE", "x", "constructor __proto__", `Error ${"X".repeat(1000)}`]) {
      server.inferences = (_came, response) => {
        response.setHeader("coload-error-code", odd);
        reply(response, 500, { error: "x".repeat(100_000) });
      };
      const error = await client.infer("add", feeds).catch((error) => error);
      assert.deepEqual([error.name, error.code, error.message.length < 5000], ["WorkerError", "WORKER_PROTOCOL", true]);
    }
  });

  it("is sent again where a model was found to be another since", async () => {
    await using model = await client.model("add");
    const before = server.models.add!;
    server.models.add = {
      inputs: [["a", "FP32", [-1]], ["b", "FP32", [-1]], ["d", "FP32", [-1]]],
      outputs: before.outputs,
    };
    const d = floats([0, 0]);
    assert.deepEqual([...(await model.run({ ...feeds, d })).c!.data], [4, 6]);
    await assert.rejects(model.run(feeds), failure("TypeError", "MISSING_FEED", /"d"/));
    server.models.add = before;
    server.inferences = (came, response) =>
      (came.json.inputs as unknown[]).length === 2
        ? server.answer(came, response)
        : reply(response, 400, { error: "3 inputs" });
    await assert.rejects(model.run({ ...feeds, d }), failure("TypeError", "UNKNOWN_FEED", /"d"/));
    assert.deepEqual([...(await model.run(feeds)).c!.data], [4, 6]);
    delete server.models.add;
    server.inferences = undefined;
    await assert.rejects(model.run(feeds), failure("WorkerError", "UNKNOWN_MODEL"));
    server.models.add = before;
  });

  it("is led nowhere else", async () => {
    let reached = 0;
    const elsewhere = createServer((_request, response) => {
      reached++;
      response.end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", () => resolve()));
    server.inferences = (_came, response) =>
      response.writeHead(307, { location: `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/` }).end();
    await assert.rejects(client.infer("add", feeds), failure("WorkerError", "WORKER_PROTOCOL", /answers 307/));
    assert.equal(reached, 0);
    elsewhere.close();
  });

  it("shows no token, which every request has", async () => {
    server.inferences = (_came, response) => reply(response, 401, { error: "no" });
    const error = await client.infer("add", feeds).catch((error) => error);
    assert.ok(!`${error.stack}${JSON.stringify(error)}`.includes(token));
    await client.health();
    assert.ok(server.came.length >= 2);
    for (const { headers } of server.came) assert.equal(headers.authorization, `Bearer ${token}`);
  });

  it("as its metadata make no sense is the server's mistake", async () => {
    const odd = [[], {}, { name: "odd", inputs: [], outputs: 3 }, {
      name: "odd",
      inputs: [{ name: "x" }],
      outputs: [],
    }];
    for (const metadata of odd) {
      server.others = (_came, response) => reply(response, 200, metadata);
      await assert.rejects(client.model("odd"), broken);
    }
    server.others = (_came, response) => response.end("<html>");
    await assert.rejects(client.model("odd"), broken);
  });
});

describe("a server over HTTP", () => {
  let server: OipServer;
  before(async () => void (server = await OipServer.listen()));
  beforeEach(() => void (server.others = undefined));
  after(() => server[Symbol.asyncDispose]());

  it("tells whether it is ready", async () => {
    await using client = await ModelClient.connect(server.endpoint);
    assert.equal(await client.health(), true);
    for (const status of [400, 503]) {
      server.others = (_came, response) => reply(response, status, { error: "not yet" });
      assert.equal(await client.health(), false);
    }
  });

  it("tells its status if it is a worker of Coload's", async () => {
    await using client = await ModelClient.connect(server.endpoint);
    await assert.rejects(client.status(), failure("TypeError", "UNSUPPORTED", /Open Inference Protocol/));
    server.others = (came, response) =>
      came.path === "/v2/coload/status"
        ? reply(response, 200, { state: "ready", pid: 7 })
        : server.answer(came, response);
    assert.equal((await client.status()).pid, 7);
    server.others = (_came, response) => reply(response, 401, { error: "no" });
    await assert.rejects(client.status(), broken);
  });

  it("is one of the protocol", async () => {
    for (const status of [400, 404, 401, 307]) {
      server.others = (_came, response) => response.writeHead(status).end();
      await assert.rejects(ModelClient.connect(server.endpoint), broken);
    }
    server.others = (_came, response) => response.end("<html>");
    await assert.rejects(ModelClient.connect(server.endpoint), broken);
    server.others = (_came, response) => reply(response, 200, { name: "x", version: "1" });
    await using _client = await ModelClient.connect(server.endpoint);
  });

  it("may lie below a path", async () => {
    const answer = server.answer.bind(server);
    server.others = server.inferences = (came, response) => {
      assert.ok(came.path.startsWith("/some/where/v2"));
      answer({ ...came, path: came.path.slice("/some/where".length) }, response);
    };
    await using client = await ModelClient.connect(`${server.endpoint}/some/where//`);
    assert.deepEqual([...(await client.infer("add", feeds)).c!.data], [4, 6]);
    server.inferences = undefined;
  });

  it("has an address, and is let in to by a token that can be sent", async () => {
    const { port } = server;
    const wrong = [
      "http:",
      "http://",
      "http:127.0.0.1",
      `http://u:p@127.0.0.1:${port}`,
      `${server.endpoint}?a=b`,
      "https://a#b",
    ];
    for (const endpoint of wrong) await assert.rejects(ModelClient.connect(endpoint), invalid, endpoint);
    for (const token of ["", "a b", "a\r\nb: c", "ä", 3 as unknown as string]) {
      await assert.rejects(ModelClient.connect(server.endpoint, { token }), invalid);
    }
    await assert.rejects(ModelClient.connect("/nowhere/worker.sock", { token }), invalid);
    await using client = await ModelClient.connect(`HTTP://LocalHost:${port}`);
    assert.equal(await client.health(), true);
  });

  it("is missed at once where there is none", async () => {
    const gone = await OipServer.listen(), { endpoint } = gone;
    await gone[Symbol.asyncDispose]();
    await assert.rejects(ModelClient.connect(endpoint), unavailable);
    await assert.rejects(ModelClient.connect("http://no-such-host.invalid:1"), unavailable);
  });
});
