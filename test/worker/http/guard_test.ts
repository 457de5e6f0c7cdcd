import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { completeHttpOptions } from "../../../src/worker/http/http_options.ts";
import { Guard } from "../../../src/worker/http/guard.ts";
import { add } from "../../support/models.ts";
import { failure } from "../../support/sessions.ts";
import { serveHttp } from "./support.ts";

const TOKEN = "s3cret-token";

/** The status that a guard refuses a request with; 200 where it does not. */
function status(options: Parameters<typeof completeHttpOptions>[0], headers: Record<string, string>): number {
  try {
    new Guard(completeHttpOptions(options)).check({ host: "localhost:8000", ...headers }, false);
    return 200;
  } catch (error) {
    return (error as { status: number }).status;
  }
}

describe("on loopback, the Host header", () => {
  for (const host of ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "10.0.0.7"]) {
    it(`may be ${host}`, () => assert.equal(status("8000", { host }), 200));
  }

  for (const host of ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io"]) {
    it(`may not be ${host}, as a page that rebinds its name sends it`, () =>
      assert.equal(status("8000", { host }), 403));
  }

  for (const host of ["", "a b", "localhost:x", "user@localhost", "[::1", "localhost, evil"]) {
    it(`is none if it is ${JSON.stringify(host)}`, () => assert.equal(status("8000", { host }), 400));
  }

  it("may be a name that is allowed", () => {
    const options = { listen: "8000", allowedHosts: ["Models.local"] };
    assert.deepEqual([status(options, { host: "models.local" }), status(options, { host: "other.local" })], [200, 403]);
  });
});

describe("elsewhere, the Host header", () => {
  it("may be any name, unless names are given", () => {
    assert.equal(status("0.0.0.0:8000", { host: "models.example" }), 200);
    assert.equal(status({ listen: "0.0.0.0:8000", allowedHosts: ["a"] }, { host: "models.example" }), 403);
  });
});

describe("a web page", () => {
  it("may not call, whichever site it is of", () => {
    for (const origin of ["https://evil.example", "http://localhost:8000", "null", "file://"]) {
      assert.equal(status("8000", { origin }), 403);
    }
    assert.equal(status("8000", { "sec-fetch-site": "cross-site" }), 403);
    assert.equal(status("8000", { "sec-fetch-site": "same-site" }), 403);
  });

  it("may call where its origin is allowed", () => {
    const options = { listen: "8000", allowedOrigins: ["https://app.example"] };
    assert.equal(status(options, { origin: "https://app.example", "sec-fetch-site": "cross-site" }), 200);
    assert.equal(status(options, { origin: "https://app.example.evil" }), 403);
  });

  it("of an allowed origin can read the answer, and its browser may ask before", async () => {
    const origin = "https://app.example";
    await using served = await serveHttp({ add: add() }, { allowedOrigins: [origin], token: TOKEN });
    const asking = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    };
    const preflight = await served.ask("/v2/models/add/infer", { method: "OPTIONS", headers: asking });
    assert.deepEqual([preflight.status, preflight.headers["access-control-allow-origin"]], [200, origin]);
    assert.equal(preflight.headers["access-control-allow-headers"], "authorization");
    const { status, headers } = await served.ask("/v2", { headers: { origin, authorization: `Bearer ${TOKEN}` } });
    assert.deepEqual([status, headers["access-control-allow-origin"]], [200, origin]);
    const others = { ...asking, origin: "https://evil.example" };
    const refused = await served.ask("/v2/models/add/infer", { method: "OPTIONS", headers: others });
    assert.deepEqual([refused.status, refused.headers["access-control-allow-origin"]], [403, undefined]);
  });

  it("that the user opens is no caller from elsewhere", () => {
    assert.equal(status("8000", { "sec-fetch-site": "none" }), 200);
  });
});

describe("a token", () => {
  it("is wanted of all but probes", async () => {
    await using served = await serveHttp({ add: add() }, { token: TOKEN });
    const all = [undefined, TOKEN, `bearer ${TOKEN}`, `Bearer ${TOKEN}x`, `Bearer ${TOKEN}`];
    const found = await Promise.all(all.map(async (authorization) => {
      const { status, headers } = await served.ask("/v2", { headers: authorization ? { authorization } : {} });
      return [status, headers["www-authenticate"]];
    }));
    assert.deepEqual(found, [[401, "Bearer"], [401, "Bearer"], [200, undefined], [401, "Bearer"], [200, undefined]]);
    for (const path of ["/v2/health/live", "/v2/health/ready", "/v2/models/add/ready"]) {
      assert.equal((await served.ask(path)).status, 200);
    }
    assert.equal((await served.ask("/metrics")).status, 401);
    const unknown = await served.ask("/v2/models/nothing/ready");
    assert.deepEqual([unknown.status, unknown.json], [404, { error: "unknown" }]); // what there is, is not for all to know
    const known = await served.ask("/v2/models/nothing/ready", { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.match(known.json.error, /the models are add/);
  });
});

const BAD: readonly (readonly [options: unknown, code: string])[] = [
  ["", "INVALID_ARGUMENT"],
  ["host", "INVALID_ARGUMENT"],
  ["127.0.0.1:70000", "INVALID_ARGUMENT"],
  ["https://127.0.0.1:1", "INVALID_ARGUMENT"],
  [{}, "INVALID_ARGUMENT"],
  [{ listen: "1", port: 2 }, "INVALID_ARGUMENT"],
  [{ listen: "1", token: "" }, "INVALID_ARGUMENT"],
  [{ listen: "1", token: "a b" }, "INVALID_ARGUMENT"],
  [{ listen: "1", allowedHosts: "a" }, "INVALID_ARGUMENT"],
  [{ listen: "1", maxBodyBytes: 0 }, "OUT_OF_RANGE"],
];

describe("options of HTTP", () => {
  for (const [options, code] of BAD) {
    it(`are refused: ${JSON.stringify(options)}`, () => {
      const name = code === "OUT_OF_RANGE" ? "RangeError" : "TypeError";
      assert.throws(() => completeHttpOptions(options as string), failure(name, code));
    });
  }

  it("say where to listen", () => {
    const found = ["8000", ":8000", "127.0.0.1:1", "[::1]:2", "http://localhost:3/", "0.0.0.0:0"].map((listen) => {
      const { host, port } = completeHttpOptions(listen);
      return `${host} ${port}`;
    });
    assert.deepEqual(found, ["127.0.0.1 8000", "127.0.0.1 8000", "127.0.0.1 1", "::1 2", "localhost 3", "0.0.0.0 0"]);
  });
});
