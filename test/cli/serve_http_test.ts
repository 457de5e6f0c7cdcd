import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import * as models from "../support/models.ts";
import { ask } from "../worker/http/support.ts";
import { ServingFolder } from "./serving.ts";
import { inPairs } from "./spawn.ts";

const SIZE = 64;
/** A request of the slow model in JSON: its output is its input, rotated as often as it says. */
const slowly = (turns: number) =>
  JSON.stringify({
    inputs: [
      { name: "x", shape: [SIZE], datatype: "FP32", data: Array.from({ length: SIZE }, (_, i) => i) },
      { name: "iterations", shape: [], datatype: "INT64", data: [turns] },
    ],
  });

describe("coload serve --http", () => {
  it("answers where it says, also after its worker died, and answers what it has when it ends", async () => {
    using folder = new ServingFolder();
    const token = folder.write("token", "s3cret\n"), model = folder.model("slow.onnx", models.slow(SIZE));
    const options = ["--http", "0", "--token-file", token, "--server-name", "models", "--no-warmup"];
    await using serving = folder.serve(model, ...options);
    const first = await serving.event("ready"), headers = { authorization: "Bearer s3cret" };
    assert.equal((await ask(first.http as string, "/v2", { headers })).json.name, "models");
    assert.equal((await ask(first.http as string, "/v2")).status, 401);
    process.kill(first.pid as number, "SIGKILL");
    const { http } = await serving.event("ready"), endpoint = http as string;
    const shown = await folder.coload("ps");
    assert.ok(shown.stdout.includes(endpoint), shown.stdout);
    const asked = ask(endpoint, "/v2/models/slow/infer", { headers, body: slowly(3000) });
    for (;;) { // until it runs
      const { text } = await ask(endpoint, "/v2/coload/status", { headers });
      if (text.includes(`"state":"busy"`)) break;
    }
    serving.kill("SIGTERM");
    const { status, json } = await asked;
    assert.deepEqual([status, json.outputs[0].shape], [200, [SIZE]]);
    assert.deepEqual([await serving.ended(), folder.left], [0, []]);
  });

  it("refuses what cannot be understood, and addresses that are taken", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add());
    const lines: readonly (readonly [args: string[], says: string])[] = [
      [["--http", "nowhere"], "an address such as 127.0.0.1:8000"],
      [["--token-file", add], "with --http alone"],
      [["--http", "0", "--token-file", folder.join("none")], "Cannot read the token"],
      [["--http", "0", "--max-body", "x"], "A size such as"],
    ];
    await inPairs(lines, async ([args, says]) => {
      const { code, stderr } = await folder.coload("serve", add, ...args);
      assert.deepEqual([code, stderr.includes(says)], [2, true], stderr);
    });
    await using serving = folder.serve(add, "--http", "0");
    const { http } = await serving.event("ready"), { port } = new URL(http as string);
    const { code, stderr } = await folder.coload("serve", add, "--http", port, "--socket", folder.join("other.sock"));
    assert.deepEqual([code, /Cannot listen at 127\.0\.0\.1/.test(stderr)], [1, true], stderr);
  });
});
