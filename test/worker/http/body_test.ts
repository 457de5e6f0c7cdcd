import assert from "node:assert/strict";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import zlib from "node:zlib";
import { Bodies, Body } from "../../../src/worker/http/body.ts";
import { identity } from "../../support/models.ts";
import { bytesOf, rawConnection, serveHttp, withBinary } from "./support.ts";

const MOST = 100_000, COUNT = 1000;
let served: Awaited<ReturnType<typeof serveHttp>>;

before(async () => served = await serveHttp({ any: identity("float32", ["n"]) }, { maxBodyBytes: MOST }));
after(() => served[Symbol.asyncDispose]());

const PATH = "/v2/models/any/infer";
const numbers = Float32Array.from({ length: COUNT }, (_, i) => i / 7);
const question = withBinary(
  {
    inputs: [{ name: "x", shape: [COUNT], datatype: "FP32", parameters: { binary_data_size: 4 * COUNT } }],
    parameters: { binary_data_output: true },
  },
  bytesOf(numbers),
);
const floatsOf = (body: Uint8Array): Float32Array => new Float32Array(new Uint8Array(body.subarray(-4 * COUNT)).buffer);
const small = JSON.stringify({ inputs: [{ name: "x", shape: [1], datatype: "FP32", data: [1] }] });

describe("what all requests take", () => {
  const request = (): IncomingMessage => new IncomingMessage(new Socket());

  it("is bounded: who comes next is refused, and not who is there", () => {
    const bodies = new Bodies(100), refused = { status: 503, message: /^The server has 110 bytes/ };
    const first = new Body(request(), 100, bodies), next = new Body(request(), 100, bodies);
    first.hold(60);
    first.holdAnswer(50); // it ran
    assert.throws(() => next.hold(1), refused);
    first[Symbol.dispose]();
    next.hold(100);
    assert.throws(() => next.hold(1), { status: 503 });
    next[Symbol.dispose]();
    next[Symbol.dispose]();
    new Body(request(), 100, bodies).hold(100);
  });
});

describe("a body", () => {
  for (const encoding of ["gzip", "deflate"] as const) {
    it(`packed by ${encoding} is unpacked: its header's length is that of the unpacked JSON`, async () => {
      const body = (encoding === "gzip" ? zlib.gzipSync : zlib.deflateSync)(question.body as Uint8Array);
      const headers = { ...question.headers, "content-encoding": encoding };
      const found = await served.ask(PATH, { headers, body });
      assert.deepEqual(floatsOf(found.body), numbers);
    });

    it(`that is no ${encoding} is refused`, async () => {
      const { status, json } = await served.ask(PATH, { headers: { "content-encoding": encoding }, body: small });
      assert.deepEqual([status, json.error.includes(encoding)], [400, true]);
    });

    it(`of ${encoding} is answered packed for those who take nothing else`, async () => {
      const headers = { ...question.headers, "accept-encoding": encoding };
      const found = await served.ask(PATH, { headers, body: question.body });
      assert.equal(found.headers["content-encoding"], encoding);
      const unpacked = encoding === "gzip" ? zlib.gunzipSync(found.body) : zlib.inflateSync(found.body);
      assert.deepEqual(floatsOf(unpacked), numbers);
    });
  }

  it("packed in another way is refused", async () => {
    const { status } = await served.ask(PATH, { headers: { "content-encoding": "br" }, body: small });
    assert.equal(status, 415);
  });

  it("that is too large is refused, said or not, and when it is unpacked", async () => {
    const body = new Uint8Array(MOST + 1);
    assert.equal((await served.ask(PATH, { body })).status, 413);
    const bomb = zlib.gzipSync(new Uint8Array(100 << 20));
    assert.ok(bomb.length < 150_000);
    const { status } = await served.ask(PATH, { headers: { "content-encoding": "gzip" }, body: bomb });
    assert.equal(status, 413);
    const { socket, closed } = await rawConnection(served.endpoint);
    socket.write(`POST ${PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (let i = 0; i < 3; i++) socket.write(`${(50_000).toString(16)}\r\n${"x".repeat(50_000)}\r\n`);
    assert.match(await closed, /^HTTP\/1.1 413 /);
  });

  it("that is packed takes no more than all requests together may, while it is unpacked", async () => {
    const most = 64 << 20, packed = zlib.gzipSync(new Uint8Array(most)), headers = { "content-encoding": "gzip" };
    await using large = await serveHttp({ any: identity("float32", ["n"]) }, { maxBodyBytes: most });
    const asked = Array.from({ length: 12 }, () => large.ask(PATH, { headers, body: packed }));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    assert.ok(statuses.every((status) => status === 400 || status === 503) && statuses.includes(503), `${statuses}`);
    assert.equal((await large.ask(PATH, { body: small })).status, 200);
  });

  it("in many pieces is one", async () => {
    const { socket, closed } = await rawConnection(served.endpoint);
    socket.write(`POST ${PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (const character of small) socket.write(`1\r\n${character}\r\n`);
    socket.write("0\r\n\r\n");
    const text = await closed;
    assert.match(text, /^HTTP\/1.1 200 /);
    assert.match(text, /"data":\[1\]/);
  });
});

describe("a request that HTTP does not know", () => {
  const head = `POST ${PATH} HTTP/1.1\r\nHost: localhost\r\n`;
  const wrong: readonly (readonly [what: string, bytes: string])[] = [
    ["of two lengths", `${head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`],
    ["of a length and chunks", `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
    ["of a negative length", `${head}Content-Length: -1\r\n\r\n`],
    ["of a length that is no number", `${head}Content-Length: 1e2\r\n\r\n`],
    ["of broken chunks", `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n`],
    ["of headers without an end", `${head}X: ${"x".repeat(100_000)}\r\n\r\n`],
    ["that is none", "\0\x01\x02\r\n\r\n"],
    ["without a host", `POST ${PATH} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`],
  ];
  for (const [what, bytes] of wrong) {
    it(`${what} is refused, and the connection ends`, async () => {
      const { socket, closed } = await rawConnection(served.endpoint);
      socket.write(bytes, "latin1");
      socket.end();
      assert.match(await closed, /^(HTTP\/1.1 4\d\d |$)/);
      assert.equal((await served.ask("/v2/health/ready")).status, 200);
    });
  }

  it("that ends in the middle of its body leaves nothing in flight", async () => {
    const { socket, closed } = await rawConnection(served.endpoint);
    socket.write(`${head}Content-Length: 1000\r\n\r\n{"inputs"`);
    assert.equal((await served.ask("/v2/health/ready")).status, 200); // so that it has come
    socket.destroy();
    await closed;
    await served.worker.drain(); // waits for what is in flight
    assert.equal((await served.ask("/v2/health/ready")).status, 400);
  });
});
