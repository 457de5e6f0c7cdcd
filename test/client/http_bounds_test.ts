import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { failure, floats } from "../support/sessions.ts";
import { OipServer, reply } from "./oip_server.ts";
import { soon, until } from "./support.ts";

const MOST_DOCUMENT = 16 * 2 ** 20, MOST_INFERENCE = 2 ** 31, piece = Buffer.alloc(2 ** 20, " ");
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
const broken = (most: number) => failure("WorkerError", "WORKER_PROTOCOL", new RegExp(`more than ${most} bytes`));

/** Answers in pieces until the other end hangs up. */
function endless(response: ServerResponse, status: number): void {
  response.writeHead(status);
  const more = (error?: Error | null): void => void (error || response.destroyed || response.write(piece, more));
  more();
}

describe("an answer over HTTP without bounds", () => {
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

  it("is refused as a document, and its connection ends", async () => {
    server.others = (_came, response) => endless(response, 200);
    const asks = [() => client.model("FP32"), () => client.status(), () => ModelClient.connect(server.endpoint)];
    for (const ask of asks) await assert.rejects(soon<unknown>(ask()), broken(MOST_DOCUMENT));
    await until(() => server.open === 0, "the connections' end");
  });

  it("is refused as an error, and its connection ends", async () => {
    server.inferences = (_came, response) => endless(response, 500);
    await assert.rejects(soon(client.infer("add", feeds)), broken(MOST_DOCUMENT));
    await until(() => server.open === 0, "the connection's end");
  });

  it("is refused before it comes where it says its size", async () => {
    const sizes = [[500, MOST_DOCUMENT], [200, MOST_INFERENCE]] as const;
    for (const [status, most] of sizes) {
      server.inferences = (_came, response) => {
        response.writeHead(status, { "content-length": String(most + 1) });
        response.flushHeaders();
      };
      await assert.rejects(soon(client.infer("add", feeds)), broken(most));
    }
    await until(() => server.open === 0, "the connections' end");
  });

  it("is one whose size is within them no more", async () => {
    const text = JSON.stringify({ error: "no" }), long = text.padEnd(MOST_DOCUMENT);
    server.inferences = (_came, response) => void response.writeHead(400).end(long);
    await assert.rejects(soon(client.infer("add", feeds)), failure("WorkerError", "WORKER_PROTOCOL", /400: no/));
    const output = { name: "c", datatype: "FP32", shape: [2], data: [4, 6] };
    const json = JSON.stringify({ model_name: "add", outputs: [output] });
    server.inferences = (_came, response) => void response.end(json.padEnd(MOST_DOCUMENT + 1)); // of results more
    assert.deepEqual([...(await soon(client.infer("add", feeds))).c!.data], [4, 6]);
    server.inferences = (_came, response) => reply(response, 400, { error: "no" });
    await assert.rejects(soon(client.infer("add", feeds)), failure("WorkerError", "WORKER_PROTOCOL", /400: no/));
  });
});
