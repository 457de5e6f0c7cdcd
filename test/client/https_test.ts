import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { ModelWorker } from "../../src/worker/mod.ts";
import { runChild } from "../support/child.ts";
import { add } from "../support/models.ts";
import { Place } from "../worker/support.ts";

const CLIENT = new URL("./children/https_client.ts", import.meta.url);
/** Made for this test, of no other use: `openssl req -x509 -newkey ec …` for localhost, for a hundred years. */
const file = (name: string): string => new URL(`./tls/${name}.pem`, import.meta.url).pathname;

describe("a client over HTTPS", () => {
  const place = new Place();
  let worker: ModelWorker, proxy: https.Server;

  before(async () => {
    const path = place.file("add.onnx", add());
    worker = await ModelWorker.serve({
      models: { add: path },
      socket: place.socket,
      executors: 1,
      http: "127.0.0.1:0",
    });
    const { port } = new URL(worker.endpoints.http!);
    const [key, cert] = [readFileSync(file("key")), readFileSync(file("cert"))];
    proxy = https.createServer({ key, cert }, (request, response) => {
      const { method, url, headers } = request;
      const options = { host: "127.0.0.1", port, method, path: url, headers: { ...headers, host: "localhost" } };
      const behind = http.request(options, (found) => {
        response.writeHead(found.statusCode!, found.headers);
        found.pipe(response);
      });
      behind.on("error", () => response.destroy());
      request.pipe(behind);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  });
  after(async () => {
    proxy.close();
    await worker[Symbol.asyncDispose]();
    place[Symbol.dispose]();
  });

  /** Asks from a process of its own, which reads whom to trust when it starts. */
  async function ask(trusted: Readonly<Record<string, string>>): Promise<string> {
    const endpoint = `https://localhost:${(proxy.address() as AddressInfo).port}`;
    const { NODE_EXTRA_CA_CERTS: _, DENO_CERT: __, ...env } = process.env;
    const { code, stdout, stderr } = await runChild(CLIENT, [endpoint], {
      env: { ...env, ...trusted } as typeof trusted,
    });
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  it("gets results where the server's certificate is trusted", async () => {
    assert.equal(await ask({ NODE_EXTRA_CA_CERTS: file("cert"), DENO_CERT: file("cert") }), "3,3");
  });

  it("sends nothing to a server that nobody vouches for", async () => {
    const { code, message } = JSON.parse(await ask({})) as { code: string; message: string };
    assert.equal(code, "WORKER_UNAVAILABLE");
    assert.match(message, /^There is no server at https:\/\/localhost:\d+: .*cert/i);
  });
});
