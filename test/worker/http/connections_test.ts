import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, it } from "node:test";
import { identity, slow } from "../../support/models.ts";
import { modelOf, until } from "../support.ts";
import { eventually } from "./held_worker.ts";
import { bytesOf, rawConnection, serveHttp, withBinary } from "./support.ts";

const INFER = "/v2/models/any/infer", COUNT = 2 << 20;

/** A request of HTTP/1.1 as it is sent. */
function raw(path: string, body?: Uint8Array, headers: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const lines = Object.entries({ host: "localhost", ...headers }).map(([name, text]) => `${name}: ${text}\r\n`).join(
    "",
  );
  const length = body === undefined ? "" : `content-length: ${body.length}\r\n`;
  const head = `${body === undefined ? "GET" : "POST"} ${path} HTTP/1.1\r\n${lines}${length}\r\n`;
  return new Uint8Array(Buffer.concat([Buffer.from(head), body ?? new Uint8Array(0)]));
}

const slowly = (size: number, turns: number): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({
    inputs: [
      { name: "x", shape: [size], datatype: "FP32", data: Array.from({ length: size }, () => 1) },
      { name: "iterations", shape: [], datatype: "INT64", data: [turns] },
    ],
  }));

describe("requests one behind the other on a connection", () => {
  it("are answered in their order", async () => {
    await using served = await serveHttp({ any: identity("float32", ["n"]) });
    const { socket, closed } = await rawConnection(served.endpoint);
    const paths = ["/v2/health/live", "/v2/nothing", "/v2/health/ready"];
    for (const path of paths) socket.write(raw(path, undefined, path === paths.at(-1) ? { connection: "close" } : {}));
    assert.deepEqual([...(await closed).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), [
      "200",
      "404",
      "200",
    ]);
  });

  it("leave nothing in flight when the connection ends before they are answered", async () => {
    await using served = await serveHttp({ slow: slow(64) });
    const { socket, closed } = await rawConnection(served.endpoint);
    socket.write(Buffer.concat([raw("/v2/models/slow/infer", slowly(64, 10_000_000)), raw("/v2"), raw("/v2")]));
    while (served.worker.status().state !== "busy") await new Promise((resolve) => setTimeout(resolve, 2));
    socket.destroy();
    await closed;
    await served.worker.drain(); // waits for what is in flight
  });

  it("are no more than a few: who sends thousands, and reads nothing, is let go", async () => {
    await using served = await serveHttp({ slow: slow(64) });
    const { socket, closed } = await rawConnection(served.endpoint);
    socket.write(raw("/v2/models/slow/infer", slowly(64, 10_000_000)));
    socket.write(Buffer.concat(Array.from({ length: 1000 }, () => raw("/v2"))));
    await closed;
    assert.equal((await served.ask("/v2/health/ready")).status, 200);
    await served.worker.drain();
  });
});

describe("callers that read nothing", () => {
  it("take no more together than all requests may, with their answers", async () => {
    await using served = await serveHttp({ any: identity("float32", ["n"]) });
    const count = 4 << 20, x = { name: "x", shape: [count], datatype: "FP32" };
    const input = { ...x, parameters: { binary_data_size: 4 * count } };
    const { headers, body } = withBinary({ inputs: [input] }, new Uint8Array(4 * count));
    const sockets: Socket[] = [];
    for (let i = 0; i < 4; i++) { // 16 MiB as they come, and again for the executor, and five times that as text
      const { socket } = await rawConnection(served.endpoint);
      socket.pause();
      sockets.push(socket);
      socket.write(raw(INFER, body as Uint8Array, headers as Record<string, string>));
    }
    await until(served.worker, () => modelOf(served.worker, "any").requests === sockets.length);
    const { status, json } = await served.ask(INFER, { headers, body });
    assert.equal(status, 503);
    assert.match(json.error, /^The server has \d+ bytes of requests and answers in flight/);
    sockets.forEach((socket) => socket.destroy());
    await eventually(async () => (await served.ask(INFER, { headers, body })).status === 200);
  });
});

describe("a caller that reads slowly", () => {
  it("gets all of its answer", async () => {
    await using served = await serveHttp({ any: identity("float32", ["n"]) });
    const { headers, body } = withBinary(
      {
        inputs: [{ name: "x", shape: [COUNT], datatype: "FP32", parameters: { binary_data_size: 4 * COUNT } }],
        parameters: { binary_data_output: true },
      },
      bytesOf(Float32Array.from({ length: COUNT }, (_, i) => i)),
    );
    const { socket } = await rawConnection(served.endpoint);
    let length = 0, last = new Uint8Array(0);
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      last = new Uint8Array(Buffer.concat([last, chunk]).subarray(-4));
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    socket.write(raw(INFER, body as Uint8Array, { ...headers, connection: "close" } as Record<string, string>));
    await ended;
    assert.ok(length > 4 * COUNT, `${length} bytes`);
    assert.equal(new Float32Array(last.buffer)[0], COUNT - 1);
  });
});
