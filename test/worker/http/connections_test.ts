import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { identity, slow } from "../../support/models.ts";
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
