import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { closeDescriptor } from "../../ffi/descriptors.ts";
import { listenAt } from "../../ffi/unix_socket.ts";
import { Tensor } from "../../mod.ts";
import type { Seen } from "../../src/cli/ps/look.ts";
import { ModelClient } from "../../src/client/mod.ts";
import * as models from "../support/models.ts";
import { ServingFolder } from "./serving.ts";

interface Report {
  readonly time: number;
  readonly workers: readonly Seen[];
}

type Answering = Extract<Seen, { readonly status: unknown }>;

/** Runs the model that adds 3. */
async function run(client: ModelClient): Promise<void> {
  using _ = await client.infer("plus", { x: Tensor.from(Float32Array.of(0)) });
}

function isAnswering(seen: Seen): seen is Answering {
  return "status" in seen;
}

/** What a worker that was killed leaves. */
function leaveSocket(path: string): void {
  closeDescriptor(listenAt(path));
}

describe("coload ps", () => {
  it("shows a worker with its models and clients, and a socket that nobody answers at", async () => {
    using folder = new ServingFolder();
    const plus = folder.model("plus.onnx", models.manyNodes(3)), other = folder.join("other.sock");
    await using serving = folder.serve(plus, "--version-of", "plus=2", "--executors", "2", "--max-batch", "4");
    const { pid } = await serving.event("ready");
    leaveSocket(other);
    {
      await using client = await ModelClient.connect(folder.socket, { name: "tester" });
      await using bytes = await ModelClient.connect(folder.socket, { name: "far", sharedMemory: false });
      for (const one of [client, client, bytes]) await run(one);
      const { code, stdout, stderr } = await folder.coload("ps", "--socket", other);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, new RegExp(`^${folder.socket}: ready$`, "m"));
      assert.match(stdout, /^model +version +state +batching +queued +requests +per second +failures +refused +p50 /m);
      const times = "( +[\\d.]+ (ns|µs|ms|s)){3}", bytesOf = "[\\d.]+ k?M?B";
      assert.match(stdout, new RegExp(`^plus +2 +ready +o(n|ff) .*3 +0 +0 +0${times} +${bytesOf} +0 B +off$`, "m"));
      const memory = `( +${bytesOf}){3}`;
      assert.match(stdout, new RegExp(`^worker +${pid} +2 executors +(deno|bun) [\\d.]+ +\\d+s${memory}$`, "m"));
      assert.match(
        stdout,
        new RegExp(`^client +${process.pid} +tester +(deno|bun) [\\d.]+ +lane +0 +\\d+s${memory}$`, "m"),
      );
      assert.match(
        stdout,
        new RegExp(`^client +${process.pid} +far +(deno|bun) [\\d.]+ +bytes +0 +\\d+s${memory}$`, "m"),
      );
      assert.match(stdout, new RegExp(`^2 processes take ${bytesOf}$`, "m"));
      assert.match(stdout, new RegExp(`^${other}: not answering\\nThere is no worker at ${other}: `, "m"));
      assert.doesNotMatch(stdout, /coload ps/);

      const json = await folder.coload("ps", "--json");
      const { workers: [worker, ...others] } = JSON.parse(json.stdout) as Report;
      assert.ok(isAnswering(worker!) && others.length === 0);
      const { models: [model], clients, memory: own } = worker.status;
      assert.deepEqual([worker.socket, worker.status.pid], [folder.socket, pid]);
      assert.deepEqual([model!.name, model!.requests, model!.requestsPerSecond, model!.failures], ["plus", 3, 0, 0]);
      assert.deepEqual(clients.map(({ name }) => name).sort(), ["far", "tester"]);
      for (const { proportional } of [own!, ...clients.map(({ memory }) => memory!)]) assert.ok(proportional > 1e6);
    }
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 0);
  });

  it("finds stale sockets by itself, and says so where there is nothing", async () => {
    using folder = new ServingFolder();
    const nothing = await folder.coload("ps");
    assert.deepEqual(nothing, { code: 0, stdout: "No workers: coload serve starts one\n", stderr: "" });
    mkdirSync(folder.sockets, { mode: 0o700 });
    leaveSocket(folder.socket);
    const { code, stdout } = await folder.coload("ps", "--json", "--socket", folder.join("none.sock"));
    const { workers } = JSON.parse(stdout) as Report;
    assert.equal(code, 0);
    assert.deepEqual(workers.map(({ socket }) => socket), [folder.socket, folder.join("none.sock")]);
    for (const seen of workers) assert.ok("problem" in seen && seen.problem.code === "WORKER_UNAVAILABLE");
  });

  it("looks again and again, sees rates, deaths and new workers, and ends with 0 when it is told to", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("plus.onnx", models.manyNodes(3)));
    const { pid } = await serving.event("ready");
    const child = folder.start("ps", "--watch", "0.1", "--json");
    const ended = new Promise((resolve) => child.once("close", resolve));
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const sees = async (isWanted: (seen: Seen) => boolean): Promise<void> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error("it ended");
        if ((JSON.parse(value) as Report).workers.some(isWanted)) return;
      }
    };
    try {
      await sees((seen) => isAnswering(seen) && seen.status.models[0]!.requestsPerSecond === 0);
      {
        await using client = await ModelClient.connect(folder.socket);
        for (let i = 0; i < 20; i++) await run(client);
      }
      await sees((seen) => isAnswering(seen) && seen.status.models[0]!.requestsPerSecond! > 0);
      process.kill(pid as number, "SIGKILL");
      await sees((seen) => "problem" in seen);
      await sees((seen) => isAnswering(seen) && seen.status.pid !== pid);
      process.kill(child.pid!, "SIGINT");
      assert.equal(await ended, 0);
    } finally {
      child.kill("SIGKILL");
    }
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 0);
  });

  it("refuses command lines that cannot be understood", async () => {
    using folder = new ServingFolder();
    for (const args of [["--watch", "never"], ["--watch", "0"], ["--socket", ""], ["model"]]) {
      const { code, stdout } = await folder.coload("ps", ...args);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    }
  });
});
