import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { serveCommand } from "../../../src/cli/serve.ts";
import { ModelClient } from "../../../src/client/mod.ts";
import { ModelWorker } from "../../../src/worker/mod.ts";
import { ServingFolder } from "../../cli/serving.ts";
import { add, manyNodes, slow } from "../../support/models.ts";
import { Place } from "../support.ts";
import { ENDLESS, eventually, HELD_SIZE } from "./held_worker.ts";
import { ask, serveHttp } from "./support.ts";

const PAGE = readFileSync(new URL("../../../src/worker/http/SERVING.md", import.meta.url), "utf8");
const MANIFESTS = [...PAGE.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml]) => yaml!);
const [DEPLOYMENT, RUNTIME] = MANIFESTS as [string, string];
const ADDITION = JSON.stringify({
  inputs: ["a", "b"].map((name) => ({ name, shape: [2], datatype: "FP32", data: [1, 2] })),
});

/** All that an expression finds, by its first group. */
const found = (text: string, expression: RegExp): string[] => [...text.matchAll(expression)].map(([, part]) => part!);
/** The command line of a container. */
const argsOf = (manifest: string): string[] => found(/args:\n((?: +- .+\n)+)/.exec(manifest)![1]!, /- "?(.+?)"?\n/g);

describe("SERVING.md", () => {
  let served: Awaited<ReturnType<typeof serveHttp>>;
  before(async () => {
    served = await serveHttp({ vad: add() }, { allowClientSharedMemory: true, allowRepositoryControl: true });
  });
  after(() => served[Symbol.asyncDispose]());

  it("names options that there are", () => {
    const help = serveCommand(() => {}).helpInformation(), page = PAGE.replace(/^```dockerfile.*?^```/ms, "");
    const named = new Set(found(page, /(--[a-z][a-z-]+)/g));
    assert.ok(named.size >= 10);
    assert.deepEqual([...named].filter((option) => !help.includes(`  ${option}`)), []);
  });

  it("names routes that there are, by their verbs", async () => {
    const routes = [...PAGE.matchAll(/^\| (GET|POST) +\| `([^`]+)`/gm)].map(([, method, path]) =>
      [method!, path!] as const
    );
    assert.ok(routes.length >= 20);
    assert.equal((await served.ask("/v2/models/vad/versions/1/config")).status, 200);
    const answers = await Promise.all(routes.map(async ([method, path]) => {
      const asked = path.replace("/M", "/vad"), other = method === "GET" ? "POST" : "GET";
      const { status, text } = await served.ask(asked, { method }), wrong = await served.ask(asked, { method: other });
      const isRoute = status !== 405 && !/There is nothing at/.test(text) && wrong.status === 405;
      return isRoute ? [] : [`${method} ${path}: ${status} ${text}`];
    }));
    assert.deepEqual(answers.flat(), []);
  });

  it("has manifests whose ports are one, and whose probes and metrics are where they say", async () => {
    assert.equal(MANIFESTS.length, 2);
    for (const manifest of MANIFESTS) {
      const [port] = found(manifest, /- 0\.0\.0\.0:(\d+)/g);
      const ports = found(manifest, /(?:[pP]ort|targetPort|\/port): "?(\d+)/g).filter((number) => number !== "80");
      assert.ok(ports.length >= 4);
      assert.deepEqual([...new Set(ports)], [port]);
      const paths = found(manifest, /path: (\/\S+?)[,\s]/g);
      assert.deepEqual(paths, ["/metrics", "/v2/health/live", "/v2/health/ready"]);
      for (const path of paths) assert.equal((await served.ask(path)).status, 200);
    }
    assert.deepEqual(found(RUNTIME, /apiVersion: serving\.kserve\.io\/(\S+)/g), ["v1alpha1", "v1beta1"]);
    assert.deepEqual(argsOf(RUNTIME).slice(2), argsOf(DEPLOYMENT).slice(2));
  });
});

describe("what runs a worker can rely on", () => {
  it("it is alive while its models are loaded, and ready afterwards", async () => {
    using place = new Place();
    const models = { large: place.file("large.onnx", manyNodes(1500)) };
    const serving = ModelWorker.serve({ models, socket: place.socket, http: "127.0.0.1:0" });
    await using client = await ModelClient.connect(place.socket, {
      retry: { attempts: 10_000, minDelayMs: 1, maxDelayMs: 1 },
    });
    let endpoint: string | undefined;
    await eventually(async () => (endpoint = (await client.status()).http) !== undefined);
    const statuses = async () =>
      await Promise.all(
        ["live", "ready"].map(async (what) => (await ask(endpoint!, `/v2/health/${what}`)).status),
      );
    assert.deepEqual(await statuses(), [200, 400]);
    assert.equal((await ask(endpoint!, "/v2/models/large/ready")).status, 400);
    await using _worker = await serving;
    assert.deepEqual(await statuses(), [200, 200]);
  });

  it("SIGTERM drains it: it is alive, not ready, answers what it has, and ends with 0", async () => {
    using folder = new ServingFolder();
    const models = [folder.model("vad.onnx", add()), folder.model("slow.onnx", slow(HELD_SIZE))] as const;
    const [serve, model, ...args] = argsOf(DEPLOYMENT).map((arg) =>
      arg.replace("/models/vad.onnx", models[0]).replace(/:8080$/, ":0")
    );
    assert.deepEqual([serve, args], ["serve", ["--http", "0.0.0.0:0", "--no-restart", "--json"]]);
    await using serving = folder.serve(model!, models[1], ...args, "--executors", "1");
    const { port } = new URL((await serving.event("ready")).http as string), endpoint = `http://127.0.0.1:${port}`;
    for (const host of ["10.1.2.3:8080", "[fd00::1]:8080", "vad.default.svc.cluster.local", "vad.example.com:80"]) {
      assert.equal((await ask(endpoint, "/v2/health/ready", { headers: { host } })).status, 200, host);
    }

    const status = async () => (await ask(endpoint, "/v2/coload/status")).json;
    const held = http.request(`${endpoint}/v2/models/slow/infer`, { method: "POST", agent: false });
    held.on("error", () => {}).end(ENDLESS); // it ends when its caller goes
    await eventually(async () => (await status()).state === "busy");
    const waiting = ask(endpoint, "/v2/models/vad/infer", { body: ADDITION });
    await eventually(async () => (await status()).models[0].queued === 1);
    serving.kill("SIGTERM");
    await eventually(async () => (await ask(endpoint, "/v2/health/ready")).status === 400);
    assert.equal((await ask(endpoint, "/v2/health/live")).status, 200);
    assert.equal((await ask(endpoint, "/v2/models/vad/ready")).status, 400);
    assert.equal((await ask(endpoint, "/v2/models/vad/infer", { body: ADDITION })).status, 503);
    held.destroy();
    assert.deepEqual((await waiting).json.outputs[0].data, [2, 4]);
    assert.deepEqual([await serving.ended(), folder.left], [0, []]);
  });
});
