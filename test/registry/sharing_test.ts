import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Child } from "../../bench/support/child.ts";
import type { ModelInfo, SessionOptions } from "../../mod.ts";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { heavy, random, WIDTH, write } from "../session/children/sharing_models.ts";
import { writeWeights } from "../support/models.ts";

interface Told extends Pick<InferenceSession, "sharing" | "memory" | "id"> {
  readonly phases: readonly string[];
}

const PREPACKED = { shareWeights: "prepacked" } as const, WEIGHTS = 4 * WIDTH ** 2;

let folder: TemporaryFolder, child: Child;
const load = (which: "models" | "own", file: string, options?: SessionOptions): Promise<Told> =>
  child.ask("load", which, file, options);
const model = (name: string): string => write(folder.join(`${name}.onnx`), heavy({}, { rows: name }));

before(async () => {
  folder = new TemporaryFolder();
  child = new Child(new URL("./children/sharing_peer.ts", import.meta.url));
  await child.ask("configure", folder.join("cache"));
});
afterEach(() => child.ask("clear"));
after(() => {
  child[Symbol.dispose]();
  folder[Symbol.dispose]();
});

for (const which of ["models", "own"] as const) {
  describe(which === "models" ? "the process's registry" : "a registry of one's own", () => {
    it("prepares, finds and says what is shared", async () => {
      const file = model(`it-${which}`), plain = await load(which, file);
      assert.equal(plain.sharing.reason, "no copy is prepared: `coload prepare` makes one");
      const made = await load(which, file, PREPACKED);
      assert.equal(made.sharing.mode, "prepacked");
      assert.deepEqual(made.phases, ["find", "digest", "reference", "convert", "pack", "verify", "create", "ready"]);
      const [first, second] = await child.ask<ModelInfo[]>("list", which);
      assert.deepEqual([first!.memory.shared, second!.memory.shared], [0, made.memory.shared]);
      assert.ok(made.memory.shared >= WEIGHTS && second!.memory.bytes - second!.memory.shared < WEIGHTS / 2);
      await child.ask("clear");
      const found = await load(which, file);
      assert.deepEqual([found.sharing, found.phases], [made.sharing, ["find", "digest", "create", "ready"]]);
    });

    it("keeps one model for each way of sharing, and none for the default twice", async () => {
      const file = model(`ways-${which}`), ids: string[] = [];
      for (const shareWeights of ["prepacked", "mapped", "off", "auto", undefined] as const) {
        ids.push((await load(which, file, shareWeights && { shareWeights })).id);
      }
      assert.equal(new Set(ids).size, 4);
      assert.equal(ids[3], ids[4]);
    });

    it("counts a mapped model's weights once", async () => {
      const { sharing } = await load(which, model("mapped"), { shareWeights: "mapped" });
      assert.equal(sharing.mode, "mapped");
      const [{ memory }] = await child.ask<[ModelInfo]>("list", which);
      assert.ok(memory.bytes < 1.5 * WEIGHTS, `${memory.bytes} bytes for weights of ${WEIGHTS}`);
    });

    it("tries no model again that cannot be shared", async () => {
      const file = write(folder.join("random.onnx"), random());
      const first = await load(which, file, PREPACKED);
      await child.ask("clear");
      const again = await load(which, file, PREPACKED);
      assert.deepEqual([again.sharing, again.phases.includes("reference")], [first.sharing, false]);
      assert.match(first.sharing.reason, /^its outputs are others at each run/);
    });
  });
}

describe("Workers", () => {
  it("see the same sharing of a model that another thread has loaded", async () => {
    const file = model("hit"), { sharing, memory: { shared }, id } = await load("models", file, PREPACKED);
    assert.deepEqual(await child.ask("elsewhere", file, PREPACKED), { sharing, shared, id });
  });

  for (const phase of ["reference", "convert", "pack", "verify"]) {
    it(`that end in phase "${phase}" leave what they were making to others`, async () => {
      const path = folder.join(`${phase}.onnx`);
      for (const waits of [true, false]) {
        writeWeights({ path, byteLength: (waits ? 8 : 6) << 20, layers: 2 + phase.length });
        const { mode, reason, work }: Record<string, unknown> = await child.ask(
          "terminate",
          path,
          PREPACKED,
          phase,
          waits,
        );
        assert.deepEqual([mode, work], ["prepacked", 0], `${reason}`);
        await child.ask("clear");
      }
    });
  }
});

describe("a copy that is being made", () => {
  it("is given up when the last who wait for it leave, and not before", async () => {
    const path = folder.join("left.onnx"), entries = await child.ask("inCache", "entries");
    writeWeights({ path, byteLength: 16 << 20, layers: 4 });
    const end = await child.ask("giveUp", path, PREPACKED);
    assert.deepEqual(end, { ends: ["rejected", "rejected"], workAfterOne: 1, entries });
    assert.equal((await load("models", path, PREPACKED)).sharing.mode, "prepacked");
  });
});
