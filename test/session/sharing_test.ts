import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { Child } from "../../bench/support/child.ts";
import { InferenceSession, type SessionOptions } from "../../mod.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { add, writeWeights } from "../support/models.ts";
import { encodeModel, node, value } from "../support/models/proto.ts";
import { failure } from "../support/sessions.ts";
import { heavy, random, weights, WIDTH, wordy, write } from "./children/sharing_models.ts";
import type { Told } from "./children/sharing_peer.ts";

const SCRIPT = new URL("./children/sharing_peer.ts", import.meta.url);
const NOTHING = "no copy is prepared: `coload prepare` makes one";
const PREPARING = ["find", "digest", "reference", "convert", "pack", "verify", "create", "ready"];
const FOUND = ["find", "digest", "create", "ready"], PLAIN = ["find", "create", "ready"];

let folder: TemporaryFolder, child: Child;

/** A process of its own with a new cache. */
async function start(cache: string): Promise<Child> {
  const child = new Child(SCRIPT);
  await child.ask("configure", cache);
  return child;
}

const create = (model: string, options?: SessionOptions): Promise<Told> => child.ask("create", model, options);
const model = (name: string, bytes: Uint8Array = heavy()): string => write(folder.join(name), bytes);

before(async () => {
  folder = new TemporaryFolder();
  child = await start(folder.join("cache"));
});
after(() => {
  child[Symbol.dispose]();
  folder[Symbol.dispose]();
});

describe("a session", () => {
  it("shares nothing by itself, and looks into nothing, where nothing is prepared", async () => {
    const { sharing, memory, phases } = await create(model("a.onnx"));
    assert.deepEqual([sharing, phases, memory.shared], [{ mode: "off", reason: NOTHING }, PLAIN, 0]);
    assert.equal(existsSync(folder.join("cache")), false);
  });

  it("prepares a copy if it is to, and all of its weights are shared", async () => {
    const { sharing, memory, phases } = await create(model("a.onnx"), { shareWeights: "prepacked" });
    assert.equal(sharing.mode, "prepacked");
    assert.match(sharing.reason, /^1\.[45]\d* MB in .*\/cache\/weights\/entries\/[0-9a-f]{64}$/);
    assert.deepEqual(phases, PREPARING);
    assert.ok(memory.shared >= 4 * WIDTH ** 2 && memory.weights < 1 << 16 && memory.source === "measured");
  });

  it("finds by itself what is prepared, in this process and in another", async () => {
    const file = model("a.onnx"), made = await create(file, { shareWeights: "prepacked" });
    const found = await create(file);
    assert.deepEqual([found.sharing, found.phases, found.sum], [made.sharing, FOUND, made.sum]);
    using other = await start(folder.join("cache"));
    assert.deepEqual((await other.ask<Told>("create", file)).sharing, made.sharing);
    const plain = await create(file, { shareWeights: "off" });
    assert.deepEqual([plain.sharing, plain.phases], [{ mode: "off", reason: 'shareWeights is "off"' }, PLAIN]);
    assert.equal(plain.sum, made.sum);
  });

  it("maps weights as they are, and holds none of them for itself", async () => {
    const { sharing, memory, phases } = await create(model("mapped.onnx"), { shareWeights: "mapped" });
    assert.equal(sharing.mode, "mapped");
    assert.deepEqual(phases, PREPARING.filter((phase) => phase !== "pack"));
    assert.ok(memory.shared >= 4 * WIDTH ** 2);
    assert.ok(memory.weights < memory.shared / 2, `${memory.weights} bytes for itself`);
  });

  it("of a file elsewhere with the same bytes finds the same copy", async () => {
    const file = model("a.onnx"), made = await create(file, { shareWeights: "prepacked" });
    mkdirSync(folder.join("elsewhere"), { recursive: true });
    copyFileSync(file, folder.join("elsewhere", "b.onnx"));
    assert.deepEqual((await create(folder.join("elsewhere", "b.onnx"))).sharing, made.sharing);
  });

  it("of external data shares it, and finds it by what is in it", async () => {
    const make = (name: string) =>
      writeWeights({ path: folder.join(name), byteLength: 2 << 20, layers: 2, external: "data.bin" });
    const made = make("external.onnx"), first = await create(made.path, { shareWeights: "prepacked" });
    assert.equal(first.sharing.mode, "prepacked");
    assert.deepEqual((await create(made.path)).sharing, first.sharing);
    const data = readFileSync(made.dataPath!);
    data.fill(0, 0, 4096);
    writeFileSync(made.dataPath!, data);
    const other = await create(made.path);
    assert.equal(other.sharing.mode, "off");
    assert.notEqual(other.sum, first.sum);
  });

  it("of bytes shares them as a file's, whatever becomes of the caller's bytes meanwhile", async () => {
    const file = model("bytes.onnx", heavy({}, { rows: "bytes" })), { sum } = await create(file);
    for (const kind of ["array", "buffer"]) {
      const level = kind === "array" ? "all" : "basic";
      const told: Told = await child.ask("bytes", file, kind, {
        shareWeights: "prepacked",
        graphOptimizationLevel: level,
      });
      assert.deepEqual([told.sharing.mode, told.sum], ["prepacked", sum], kind);
    }
    assert.equal((await create(file)).sharing.mode, "prepacked");
  });

  it("of bytes whose external data lies in the working directory does not take old data for new", async () => {
    using own = new Child(new URL("./children/sharing_peer.ts", import.meta.url));
    await own.ask("configure", folder.join("cache"));
    await own.ask("enter", folder.path);
    const options = { path: folder.join("beside.onnx"), byteLength: 2 << 20, layers: 2, external: "beside.bin" };
    const { dataPath, path: file } = writeWeights(options), share = { shareWeights: "prepacked" } as const;
    const before: Told = await own.ask("bytes", file, "array", share);
    writeFileSync(dataPath!, readFileSync(dataPath!).fill(0));
    const plain: Told = await own.ask("bytes", file, "array", { shareWeights: "off" });
    assert.deepEqual([plain.sum, plain.sum === before.sum], [0, false]);
    assert.equal((await own.ask<Told>("bytes", file, "array", share)).sum, 0);
  });

  it("says the same of its model, prepared or not", async () => {
    const file = model("wordy.onnx", wordy()), plain = await create(file, { shareWeights: "off" });
    for (const shareWeights of ["prepacked", "mapped"] as const) {
      const { sharing, values, sum } = await create(file, { shareWeights });
      assert.equal(sharing.mode, shareWeights, sharing.reason);
      assert.deepEqual(values, plain.values);
      assert.ok(Math.abs(sum - plain.sum) < 1e-3);
    }
    const options = { freeDimensionOverrides: { batch: 2 } },
      fixed = await create(file, { ...options, shareWeights: "off" });
    const { sharing, values } = await create(file, { ...options, shareWeights: "prepacked" });
    assert.equal(sharing.mode, "prepacked");
    assert.deepEqual(values, fixed.values);
    assert.notDeepEqual(values, plain.values);
  });

  it("once two at once want the same copy: one makes it", async () => {
    const file = model("two.onnx", heavy({}, { rows: "two" }));
    const all: Told[] = await child.ask("together", file, { shareWeights: "prepacked" }, 3);
    assert.deepEqual(all.map(({ sharing }) => sharing.mode), ["prepacked", "prepacked", "prepacked"]);
    assert.equal(all.filter(({ phases }) => phases.includes("pack")).length, 1);
    assert.equal(all.filter(({ phases }) => phases.includes("wait")).length, 2);
  });

  it("leaves the event loop free while its copy is made", async () => {
    await leavesTheLoopFree((attempt) => {
      const many = { byteLength: (24 + attempt) << 20, layers: 3, path: folder.join(`many${attempt}.onnx`) };
      writeWeights(many);
      return many.path;
    });
  });

  it("leaves the event loop free though its inputs are large", async () => {
    const inputs = [value("x", "float32", [2, WIDTH]), value("image", "float32", [4, 3, 1024, 1024])];
    await leavesTheLoopFree((attempt) => {
      const outputs = [value(`y${attempt}`, "float32", [2, WIDTH]), value("most", "float32", [])];
      const nodes = [
        node("MatMul", ["x", "W"], [`y${attempt}`]),
        node("ReduceMax", ["image"], ["most"], [keepNone()]),
      ];
      return model("image.onnx", encodeModel({ inputs, outputs, nodes }, { initializers: [weights()] }));
    });
  });

  /** Makes copies of models until one held the event loop up for a moment only: others on the machine may do so too. */
  async function leavesTheLoopFree(makeModel: (attempt: number) => string): Promise<void> {
    const gaps: number[] = [];
    do gaps.push(await child.ask<number>("gap", makeModel(gaps.length), { shareWeights: "prepacked" })); while (
      gaps.at(-1)! >= 250 && gaps.length < 4
    );
    assert.ok(gaps.at(-1)! < 250, `${gaps} ms`);
  }
});

const keepNone = () => ({ name: "keepdims", i: 0, type: 2 });

describe("a session is not shared, and says why", () => {
  const prepacked = (options: SessionOptions): SessionOptions => ({ shareWeights: "prepacked", ...options });

  it("for other options than a copy is for, until there is one for them", async () => {
    const file = model("a.onnx"), other = { graphOptimizationLevel: "disabled" } as const;
    await create(file, prepacked({}));
    assert.deepEqual((await create(file, other)).sharing, {
      mode: "off",
      reason: "a copy is prepared, for other session options",
    });
    assert.equal((await create(file, prepacked(other))).sharing.mode, "prepacked");
    assert.equal((await create(file, other)).sharing.mode, "prepacked");
  });

  it("but shared for options that leave the weights as they are", async () => {
    const file = model("a.onnx"), made = await create(file, prepacked({}));
    const all: SessionOptions[] = [
      { intraOpNumThreads: 1 },
      { intraOpNumThreads: 2, extra: { "session.intra_op.allow_spinning": "0" } },
      { executionMode: "parallel", interOpNumThreads: 2 },
      { enableCpuMemArena: false },
      { executionProviders: ["cpu"] },
      { logSeverityLevel: 3, shrinkArena: "run" },
    ];
    for (const options of all) assert.deepEqual((await create(file, options)).sharing, made.sharing);
    const threads = { intraOpNumThreads: 3, extra: { "session.intra_op_thread_affinities": "1;1" } };
    const own = await create(model("threads.onnx", heavy({}, { rows: "threads" })), prepacked(threads));
    assert.equal(own.sharing.mode, "prepacked");
  });

  it("with entries that say how weights are kept, in either mode", async () => {
    const extra = { "session.disable_prepacking": "1" };
    for (const shareWeights of ["auto", "prepacked"] as const) {
      const { sharing } = await create(model("a.onnx"), { shareWeights, extra });
      assert.equal(sharing.reason, 'extra "session.disable_prepacking" says how weights are to be kept');
    }
  });

  it("on other execution providers", async () => {
    const options = { executionProviders: ["xnnpack"] }, file = model("a.onnx");
    await child.ask("create", file, prepacked(options)).then(
      (told) =>
        assert.equal(
          (told as Told).sharing.reason,
          "weights are shared on the CPU alone, and another execution provider was asked for",
        ),
      (error) => assert.match(error.message, /xnnpack/i), // not in this build
    );
  });

  it("when it is small", async () => {
    const file = model("small.onnx", add());
    await child.ask("create", file).then(() => {}, () => {});
    const { sharing } = await create(file);
    assert.equal(sharing.reason, "it is small: sharing pays from 1 MB on");
    const asked = await create(file, prepacked({}));
    assert.match(
      asked.sharing.reason,
      /^Cannot share the weights of .*small\.onnx: it has \d+ B, and sharing pays from 1 MB on$/,
    );
  });

  it("when no copy can be compared, which is not tried again", async () => {
    const file = model("random.onnx", random()),
      reason = "its outputs are others at each run, so that no copy can be " +
        "compared with it";
    const first = await create(file, prepacked({})), again = await create(file, prepacked({}));
    assert.deepEqual([first.sharing, again.sharing], [{ mode: "off", reason }, { mode: "off", reason }]);
    assert.deepEqual([first.phases.includes("reference"), again.phases], [true, FOUND]);
    assert.equal((await create(file)).sharing.reason, reason);
  });

  it("when its options are none", async () => {
    for (const shareWeights of ["always", true, null, ""]) {
      const options = { shareWeights } as unknown as SessionOptions;
      await assert.rejects(InferenceSession.create(add(), options), failure("TypeError", "INVALID_ARGUMENT"));
    }
    for (const shrinkArena of ["later", false, null]) {
      const options = { shrinkArena } as unknown as SessionOptions;
      await assert.rejects(InferenceSession.create(add(), options), failure("TypeError", "INVALID_ARGUMENT"));
    }
  });
});

describe("aborting a session that is prepared", () => {
  for (const [i, phase] of ["digest", "reference", "convert", "pack", "verify"].entries()) {
    it(`in phase "${phase}" rejects at once, and leaves nothing`, async () => {
      const file = folder.join(`${phase}.onnx`), options = { shareWeights: "prepacked" } as const;
      writeWeights({ path: file, byteLength: 8 << 20, layers: 3 + i });
      const entries = await child.ask("cached"), end: { ms: number } = await child.ask("abort", file, options, phase);
      assert.deepEqual({ ...end, ms: 0 }, { rejected: true, ms: 0, work: [], entries });
      assert.ok(end.ms < 250, `${end.ms} ms`);
      assert.equal((await create(file, options)).sharing.mode, "prepacked");
    });
  }

  it("when its copy is made keeps that", async () => {
    const file = model("last.onnx", heavy({}, { rows: "last" })), options = { shareWeights: "prepacked" } as const;
    const { rejected, work }: { rejected: boolean; work: string[] } = await child.ask("abort", file, options, "create");
    assert.deepEqual([rejected, work], [true, []]);
    assert.deepEqual((await create(file)).phases, FOUND);
  });

  it("while it waits for another leaves that alone", async () => {
    const file = model("wait.onnx", heavy({}, { rows: "wait" }));
    const ends = await child.ask("abortWaiting", file, { shareWeights: "prepacked" });
    assert.deepEqual(ends, { second: true, first: "prepacked" });
  });
});

describe("a shared session", () => {
  it("gives its activations back when it is idle, unless it is told not to", async () => {
    const file = model("a.onnx"), idle = child.ask<[number, number]>("idle", file, { shareWeights: "prepacked" });
    using other = await start(path.join(folder.path, "cache"));
    const never: [number, number] = await other.ask("idle", file, { shareWeights: "prepacked", shrinkArena: "never" });
    const [held, left] = await idle;
    assert.ok(left < held / 2, `${left} bytes are left of ${held}`);
    assert.equal(never[0], never[1]);
  });
});
