import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { runChild } from "../support/child.ts";
import { failure, floats } from "../support/sessions.ts";
import { OipServer, reply } from "./oip_server.ts";
import { soon, until } from "./support.ts";

const feeds = { a: floats([1, 2]), b: floats([3, 4]) }, sum = [4, 6];
const reason = new Error("changed my mind"), retry = { attempts: 50, minDelayMs: 5, maxDelayMs: 20 };
const died = failure("WorkerError", "WORKER_DIED"), timeout = failure("WorkerError", "WORKER_TIMEOUT");

/** The same; that it fails, if it does, is an error where it is awaited only. */
function started<T>(request: Promise<T>): Promise<T> {
  request.catch(() => {});
  return request;
}

describe("connections over HTTP", () => {
  let server: OipServer, client: ModelClient;
  beforeEach(async () => {
    server = await OipServer.listen();
    client = await ModelClient.connect(server.endpoint);
    await client.model("add");
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const isFine = async (): Promise<void> =>
    assert.deepEqual([...(await soon(client.infer("add", feeds))).c!.data], sum);

  /** Inferences are not answered, but kept. */
  function held(): ServerResponse[] {
    const responses: ServerResponse[] = [];
    server.inferences = (_came, response) => void responses.push(response);
    return responses;
  }

  it("are kept for the next request", async () => {
    const { connections } = server;
    for (let i = 0; i < 50; i++) await isFine();
    assert.equal(server.connections, connections);
  });

  it("are as many as there are requests at once, up to 128", async () => {
    const responses = held(), requests = Array.from({ length: 200 }, () => started(client.infer("add", feeds)));
    await until(() => responses.length === 128, "128 requests");
    assert.equal(await soon(client.health()), true);
    const gone = new AbortController(), last = started(client.infer("add", feeds, { signal: gone.signal }));
    gone.abort(reason);
    await assert.rejects(soon(last), reason);
    assert.equal(responses.length, 128);
    server.inferences = undefined;
    for (const [i, response] of responses.entries()) server.answer(server.inferred[i]!, response);
    for (const { c } of await soon(Promise.all(requests))) assert.deepEqual([...c!.data], sum);
  });

  it("end with a request that is given up, and others go on", async () => {
    const responses = held(), stop = new AbortController();
    const running = started(client.infer("add", feeds, { signal: stop.signal })), other = client.infer("add", feeds);
    await until(() => responses.length === 2, "the requests");
    const ended = once(responses[0]!, "close");
    stop.abort(reason);
    await assert.rejects(soon(running), reason);
    await soon(ended, "the connection's end");
    server.answer(server.inferred[1]!, responses[1]!);
    assert.deepEqual([...(await soon(other)).c!.data], sum);
    await assert.rejects(client.infer("add", feeds, { signal: stop.signal }), reason);
    assert.equal(server.inferred.length, 2); // neither the last one, nor the first one again
  });

  it("end with a request that takes too long", async () => {
    const responses = held(), running = started(client.infer("add", feeds, { timeoutMs: 200 }));
    await until(() => responses.length === 1, "the request");
    const ended = once(responses[0]!, "close");
    await assert.rejects(soon(running), timeout);
    await soon(ended, "the connection's end");
  });

  it("end with whatever takes longer than the client has", async () => {
    await using hasty = await ModelClient.connect(server.endpoint, { timeoutMs: 200 });
    await hasty.model("add");
    server.others = server.inferences = () => {};
    const requests = [hasty.infer("add", feeds), hasty.status(), hasty.model("FP32")].map(started<unknown>);
    const connecting = started(ModelClient.connect(server.endpoint, { timeoutMs: 200 }));
    assert.equal(await soon(hasty.health()), false);
    for (const request of [...requests, connecting]) await assert.rejects(soon(request), timeout);
  });

  it("end within an answer that takes too long", async () => {
    server.inferences = (_came, response) => void response.writeHead(200, { "content-length": "100" }).write("{");
    await assert.rejects(soon(client.infer("add", feeds, { timeoutMs: 50 })), timeout);
  });

  for (
    const [what, end] of [
      ["before the answer", (response: ServerResponse) => response.socket!.destroy()],
      ["within the answer", (response: ServerResponse) => {
        response.writeHead(200, { "content-length": "100" }).write("{", () => response.socket!.destroy());
      }],
    ] as const
  ) {
    it(`that end ${what} have a request sent again only where it may be repeated`, async () => {
      await using repeating = await ModelClient.connect(server.endpoint, { retry });
      await repeating.infer("add", feeds); // by a connection that is kept
      server.inferences = (_came, response) => end(response);
      server.came.length = 0;
      for (const one of [client, repeating]) await assert.rejects(soon(one.infer("add", feeds)), died);
      assert.equal(server.inferred.length, 2);
      let ends = 0;
      server.inferences = (came, response) => ends++ < 3 ? end(response) : server.answer(came, response);
      const { c } = await soon(repeating.infer("add", feeds, { idempotent: true }));
      assert.deepEqual([...c!.data, ends], [...sum, 4]);
    });
  }

  it("to a proxy that lost the server have a request sent again only where it may be repeated", async () => {
    await using repeating = await ModelClient.connect(server.endpoint, { retry });
    await repeating.model("add");
    const says = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    for (const [status, body] of [[503, says], [503, '{"error":"it died"}'], [503, ""], [502, "<html>"]] as const) {
      server.inferences = (_came, response) => response.writeHead(status).end(body);
      server.came.length = 0;
      await assert.rejects(soon(repeating.infer("add", feeds, { idempotent: false })), died);
      assert.equal(server.inferred.length, 1);
      let ends = 0;
      server.inferences = (came, response) =>
        ends++ < 3 ? response.writeHead(status).end(body) : server.answer(came, response);
      await soon(repeating.infer("add", feeds, { idempotent: true }));
      assert.equal(ends, 4);
    }
  });

  it("that the server ended meanwhile are made anew", async () => {
    await isFine();
    const { port } = server, known = await client.model("add");
    await server[Symbol.asyncDispose]();
    await assert.rejects(soon(known.run(feeds)), { name: "WorkerError" });
    assert.equal(await client.health(), false);
    server = await OipServer.listen(port);
    await isFine();
  });

  it("end with the client, and so do its requests", async () => {
    const responses = held(), running = [1, 2].map(() => started(client.infer("add", feeds)));
    await using model = await client.model("add");
    await until(() => responses.length === 2, "the requests");
    await client[Symbol.asyncDispose]();
    for (const request of running) await assert.rejects(soon(request), failure("WorkerError", "WORKER_UNAVAILABLE"));
    await until(() => server.open === 0, "the connections' end");
    const disposed = failure("ReferenceError", "DISPOSED");
    for (const request of [client.infer("add", feeds), model.run(feeds), client.status(), client.model("add")]) {
      await assert.rejects(request, disposed);
    }
    await client[Symbol.asyncDispose]();
  });

  it("keep no process whose client has ended, though the server is to write its memory yet", async () => {
    const came = Promise.withResolvers<void>();
    server.extensions = ["binary_tensor_data", "system_shared_memory"];
    server.inferences = () => came.resolve(); // and no answer
    server.others = (asked, response) => {
      if (asked.path !== "/v2/coload/status") server.answer(asked, response);
      else came.promise.then(() => reply(response, 200, {}));
    };
    const { code, stdout, stderr } = await runChild(new URL("children/http_given_up.ts", import.meta.url), [
      server.endpoint,
    ]);
    assert.deepEqual([code, stdout], [0, "given up\n"], stderr);
    assert.ok(JSON.stringify(server.inferred[0]!.json.outputs).includes("shared_memory_region"));
  });
});

describe("a server over HTTP that is away", () => {
  it("is waited for as the retries allow", async () => {
    const gone = await OipServer.listen(), { port, endpoint } = gone;
    await gone[Symbol.asyncDispose]();
    const few = { attempts: 2, minDelayMs: 1 }, away = failure("WorkerError", "WORKER_UNAVAILABLE");
    await assert.rejects(soon(ModelClient.connect(endpoint, { retry: few })), away);
    const connecting = started(ModelClient.connect(endpoint, { retry }));
    await using first = await OipServer.listen(port);
    await using client = await soon(connecting);
    await client.infer("add", feeds);
    await first[Symbol.asyncDispose]();
    assert.equal(await client.health(), false); // by the connection that was kept: what comes next finds none
    const running = started(client.infer("add", feeds)), stop = new AbortController();
    const stopped = started(client.infer("add", feeds, { signal: stop.signal }));
    stop.abort(reason);
    await assert.rejects(soon(stopped), reason);
    await using second = await OipServer.listen(port);
    assert.deepEqual([...(await soon(running)).c!.data], sum);
    assert.equal(second.inferred.length, 1);
  });

  it("or has too much to do is asked again, with what was fed at first", async () => {
    await using server = await OipServer.listen();
    await using client = await ModelClient.connect(server.endpoint, { retry });
    await client.model("add");
    const untaken = [
      "The queue is full",
      "queue full",
      "[request id: 1] Exceeds maximum queue size",
      "Not ready yet",
      "it takes no more",
      "draining",
      "overloaded",
    ];
    const answers: [number, string | undefined][] = [...untaken.map((words): [number, string] => [503, words])];
    answers.push([503, undefined], [429, "slower"]);
    const all = answers.length;
    server.inferences = (came, response) => {
      const [status, words] = answers.shift() ?? [200, undefined];
      if (status === 200) server.answer(came, response);
      else if (words) reply(response, status, { error: words });
      else response.writeHead(status, { "retry-after": "1" }).end();
    };
    const a = floats([1, 2]), running = client.infer("add", { ...feeds, a });
    a.data.fill(-1);
    assert.deepEqual([...(await soon(running)).c!.data], sum);
    assert.equal(server.inferred.length, all + 1);
    server.inferences = (_came, response) => reply(response, 503, { error: "queue full" });
    await assert.rejects(soon(client.infer("add", feeds, { timeoutMs: 30 })), { name: "WorkerError" });
  });
});
