import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import http from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, it } from "node:test";
import { Connections } from "../../../src/worker/http/connections.ts";
import { Crowd } from "../../../src/worker/http/crowd.ts";
import { Deadlines } from "../../../src/worker/http/deadlines.ts";
import { add } from "../../support/models.ts";
import { serveHttp } from "./support.ts";

const LOOK_MS = 10, QUIET_MS = 100;

/** A server whose connections end when they say nothing for long, and which answers `/later` when it is told to. */
async function serve() {
  const deadlines = new Deadlines(LOOK_MS), connections = new Connections(deadlines, QUIET_MS);
  const events = new EventEmitter(),
    server = http.createServer({ keepAliveTimeout: 0 }, async (request, response) => {
      const answered = connections.begin(request.socket, () => events.emit("gone"))!;
      events.emit("asked");
      if (request.url === "/later") await once(events, "answer");
      response.end("fine");
      await once(response, "finish");
      answered();
    });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    events,
    connect: () => connect({ port, host: "127.0.0.1" }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      deadlines[Symbol.dispose]();
    },
  };
}

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;

describe("a connection", () => {
  it("ends when it says nothing for long after a request", async () => {
    await using served = await serve();
    const socket = served.connect(), started = performance.now();
    socket.write(request("/"));
    assert.match(String((await once(socket, "data"))[0]), /200 OK/);
    socket.resume();
    await once(socket, "close");
    assert.ok(performance.now() - started >= QUIET_MS);
  });

  it("stays while a request is not answered, however long that takes", async () => {
    await using served = await serve();
    const socket = served.connect(), { events } = served;
    let isClosed = false;
    socket.once("close", () => isClosed = true);
    socket.write(request("/"));
    await once(socket, "data");
    socket.write(request("/later"));
    await once(events, "asked");
    await new Promise((resolve) => setTimeout(resolve, 3 * QUIET_MS)); // time itself is what is tried
    assert.equal(isClosed, false);
    events.emit("answer");
    assert.match(String((await once(socket, "data"))[0]), /200 OK/);
    socket.destroy();
  });

  it("tells its requests when it ends", async () => {
    await using served = await serve();
    const socket = served.connect(), { events } = served;
    socket.write(request("/later"));
    await once(events, "asked");
    socket.destroy();
    await once(events, "gone");
    events.emit("answer");
  });

  it("is told for how long it may say nothing", async () => {
    await using served = await serveHttp({ add: add() });
    const agent = new http.Agent({ keepAlive: true });
    assert.equal((await served.ask("/v2", { agent })).headers["keep-alive"], "timeout=60");
    agent.destroy();
  });
});

describe("deadlines", () => {
  it("act when it is time, once each, unless they are called off", async () => {
    using deadlines = new Deadlines(1);
    const acted: string[] = [];
    const off = deadlines.after(20, () => acted.push("called off"));
    deadlines.after(0, () => acted.push("early"));
    off();
    const awake = setTimeout(() => {}, 60_000); // they keep no process alive
    await new Promise<void>((resolve) => deadlines.after(50, resolve));
    clearTimeout(awake);
    assert.deepEqual(acted, ["early"]);
  });
});

describe("a crowd", () => {
  it("has those who came and did not go", () => {
    const crowd = new Crowd<string>(),
      here = (): string[] => {
        const found: string[] = [];
        crowd.forEach((member) => found.push(member));
        return found;
      };
    const goes = ["a", "b", "c"].map((member) => crowd.add(member));
    goes[1]!();
    goes[1]!(); // twice is harmless
    assert.deepEqual([here(), crowd.size], [["a", "c"], 2]);
    const d = crowd.add("d");
    goes[1]!(); // also when its place is another's
    assert.deepEqual([here(), crowd.size], [["a", "d", "c"], 3]);
    for (const go of [...goes, d]) go();
    assert.deepEqual([here(), crowd.size], [[], 0]);
  });

  it("may be left by those who are called", () => {
    const crowd = new Crowd<() => void>(), called: number[] = [];
    const goes = [0, 1, 2].map((i) => crowd.add(() => called.push(i) && goes.forEach((go) => go())));
    crowd.forEach((call) => call());
    assert.deepEqual([called, crowd.size], [[0], 0]);
  });
});
