import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { ServingFolder } from "../cli/serving.ts";
import { mappingsOf } from "./children/processes_peers.ts";
import { scratchFolder, smallModel } from "./support.ts";

const BYTES = 16 << 20;

describe("workers of two sockets that share weights", () => {
  it("hold them once in memory, in the user's cache where XDG_CACHE_HOME says", { timeout: 60_000 }, async () => {
    using xdg = scratchFolder();
    using folder = new ServingFolder(xdg.path);
    const { path: model } = smallModel(folder.path, { byteLength: BYTES });
    const sockets = ["one", "other"].map((name) => folder.join("run", name));
    await using one = folder.serve(model, "--socket", sockets[0]!, "--share-weights", "prepacked");
    const pids = [(await one.event("ready")).pid as number];
    await using other = folder.serve(model, "--socket", sockets[1]!); // which finds it by itself
    pids.push((await other.event("ready")).pid as number);
    for (const socket of sockets) {
      await using client = await ModelClient.connect(socket);
      const { models: [served] } = await client.status();
      assert.equal(served!.sharing?.mode, "prepacked", `${served!.sharing?.reason}`);
    }
    const entries = xdg.join("coload/weights/entries"), [key, ...more] = readdirSync(entries);
    assert.deepEqual(more, []);
    for (const { resident, share } of pids.map((pid) => mappingsOf(pid, path.join(entries, key!, "model.data")))) {
      assert.ok(resident >= BYTES, `${resident} bytes resident`);
      assert.ok(Math.abs(share / resident - 1 / 2) < 0.05, `${share} of ${resident} bytes counted`);
    }
  });
});
