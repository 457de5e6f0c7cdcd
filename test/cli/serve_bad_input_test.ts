import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import * as models from "../support/models.ts";
import { ServingFolder } from "./serving.ts";
import { inPairs } from "./spawn.ts";

describe("coload serve", () => {
  it("refuses command lines that cannot be understood", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add()), elsewhere = folder.write("elsewhere/add.onnx");
    const broken = folder.write("broken.json", "{"), empty = folder.write("empty.json", '{ "models": [] }');
    const unknown = folder.write("unknown.json", '{ "models": { "a": { "path": "add.onnx", "speed": 1 } } }');
    const lines: readonly (readonly [args: string[], says: string])[] = [
      [[], "No models are named"],
      [[add, elsewhere], 'two models as "add"'],
      [[`a=${add}`, `a=${elsewhere}`], 'two models as "a"'],
      [[add, "--max-batch", "0"], "A whole number from 1 to 1024"],
      [[add, "--queue-delay", "fast"], "Milliseconds"],
      [[add, "--queue-timeout", "0"], "Milliseconds"],
      [[add, "--ttl", "long"], "A time such as 10m"],
      [[add, "--max-memory", "2"], "A size such as 2GB"],
      [[add, "--executors", "17"], "A whole number from 1 to 16"],
      [[add, "--share-weights", "sometimes"], "Allowed choices"],
      [[add, "--state", "add:c"], "A model, an input and an output"],
      [[add, "--state", "vad:state=stateN"], 'no model "vad"'],
      [[add, "--version-of", "vad=2"], 'no model "vad"'],
      [[add, "--version-of", "add=../2"], 'a version such as "1"'],
      [[add, "--socket", folder.join("long".repeat(50))], "at most"],
      [[add, "--config", folder.join("none.json")], "Cannot read"],
      [[add, "--config", broken], "Cannot read"],
      [[add, "--config", empty], "an object with models"],
      [["--config", unknown], 'no option "speed"'],
    ];
    const outcomes = await inPairs(lines, ([args]) => folder.coload("serve", ...args));
    for (const [i, { code, stdout, stderr }] of outcomes.entries()) {
      const [args, says] = lines[i]!;
      assert.deepEqual([code, stdout, stderr.includes(says)], [2, "", true], `${args.join(" ")}: ${stderr}`);
    }
    assert.deepEqual(folder.left, []);
  });

  it("does not start with a model that cannot be loaded, nor with options that do not fit one", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add());
    const bad = folder.write("bad.onnx", "no model"), none = folder.join("none.onnx");
    const missing = await folder.coload("serve", add, none);
    assert.deepEqual([missing.code, missing.stdout], [1, ""]);
    assert.match(missing.stderr, /^coload: .*none\.onnx/m);
    assert.doesNotMatch(missing.stderr, /restarting/);
    const { code, stderr } = await folder.coload("serve", bad, "--json");
    const failed = JSON.parse(stderr.trim().split("\n").at(-1)!);
    assert.deepEqual([code, failed.event, failed.code], [1, "failed", "MODEL_INVALID"]);
    const unfit = await folder.coload("serve", add, "--state", "add:state=stateN");
    assert.deepEqual([unfit.code, /state/.test(unfit.stderr)], [2, true], unfit.stderr);
    assert.deepEqual(folder.left, []);
  });

  it("does not start at a socket whose path is taken by a file, which stays", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add()), file = folder.write("file.sock", "text");
    const { code, stderr } = await folder.coload("serve", add, "--socket", file);
    assert.deepEqual([code, /is no socket/.test(stderr)], [1, true], stderr);
    assert.equal(await ModelClient.connect(file).catch((error) => error.code), "WORKER_UNAVAILABLE");
  });

  it("takes options from a file, and from the command line before it", async () => {
    using folder = new ServingFolder();
    folder.model("add.onnx", models.add());
    const config = folder.write(
      "serve.json",
      JSON.stringify({
        socket: "own.sock",
        executors: 1,
        models: { sum: { path: "add.onnx", version: "7" }, rest: "add.onnx" },
      }),
    );
    await using serving = folder.serve("--config", config, "--version-of", "rest=3", "--executors", "2");
    const { socket } = await serving.event("ready");
    assert.equal(socket, folder.join("own.sock"));
    {
      await using client = await ModelClient.connect(folder.join("own.sock"));
      const { models, executors } = await client.status();
      assert.deepEqual([models.map(({ name, version }) => `${name} ${version}`), executors], [["sum 7", "rest 3"], 2]);
    }
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 0);
  });
});
