import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import wavefile from "wavefile";
import { decodeNpy } from "../../src/cli/run/npy.ts";
import { decodeSound } from "../../src/cli/run/sound.ts";
import { runWindows, windowCount } from "../../src/cli/run/windows.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { add, identity, state } from "../support/models.ts";
import { failure, open } from "../support/sessions.ts";
import { type Outcome, outcome, runScript, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const SILERO = fileURLToPath(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));

interface WavOptions {
  readonly rate?: number;
  readonly depth?: string;
}

/** A WAV file of channels of samples. */
function wav(channels: readonly ArrayLike<number>[], { rate = 16_000, depth = "32f" }: WavOptions = {}): Uint8Array {
  const file = new wavefile.WaveFile();
  file.fromScratch(channels.length, rate, depth, channels.length === 1 ? channels[0] : channels);
  return file.toBuffer();
}
const tone = (hertz: number, rate: number, length: number, loud = 0.5): Float32Array =>
  Float32Array.from({ length }, (_, i) => loud * Math.sin(2 * Math.PI * hertz * i / rate));
const power = (samples: Float32Array): number =>
  Math.sqrt(samples.slice(500, -500).reduce((sum, x) => sum + x * x, 0) / (samples.length - 1000));

describe("decodeSound", () => {
  it("reads floats exactly, and whole numbers from -1 to 1", () => {
    const { samples, rate } = decodeSound(wav([[0.5, -0.25, 1]]), {}, "x.wav");
    assert.deepEqual([[...samples], rate], [[0.5, -0.25, 1], 16_000]);
    const whole = decodeSound(wav([[16384, -32768, 0]], { depth: "16", rate: 8000 }), {}, "x.wav");
    assert.deepEqual([[...whole.samples].map((x) => Math.round(x * 1000)), whole.rate], [[500, -1000, 0], 8000]);
  });

  it("reads compressed ones", () => {
    const file = new wavefile.WaveFile();
    file.fromScratch(1, 8000, "16", tone(440, 8000, 8000).map((x) => x * 32767));
    const plain = power(decodeSound(file.toBuffer(), {}, "x.wav").samples);
    file.toMuLaw();
    assert.ok(Math.abs(power(decodeSound(file.toBuffer(), {}, "x.wav").samples) - plain) < 0.01);
  });

  it("takes the mean of channels, or one", () => {
    const stereo = wav([[1, 0.5], [0, -0.5]]);
    assert.deepEqual([...decodeSound(stereo, {}, "x.wav").samples], [0.5, 0]);
    assert.deepEqual([...decodeSound(stereo, { channel: 2 }, "x.wav").samples], [0, -0.5]);
    const message = /Cannot take channel 3 of x\.wav: it has 2/;
    assert.throws(
      () => decodeSound(stereo, { channel: 3 }, "x.wav"),
      failure("TypeError", "INVALID_ARGUMENT", message),
    );
  });

  it("resamples, without what the new rate cannot hold", () => {
    const of = (hertz: number, from: number, to: number) =>
      decodeSound(wav([tone(hertz, from, from)], { rate: from }), { rate: to }, "x.wav");
    for (const [from, to] of [[44_100, 16_000], [8000, 16_000], [16_000, 11_025]] as const) {
      const { samples, rate } = of(1000, from, to), exact = tone(1000, to, to);
      assert.deepEqual([rate, samples.length], [to, to]);
      for (let i = 200; i < to - 200; i++) assert.ok(Math.abs(samples[i]! - exact[i]!) < 1e-3, `${from} ${to} ${i}`);
    }
    assert.ok(power(of(12_000, 44_100, 16_000).samples) < 1e-3);
  });

  it("refuses what is none, or is cut short, but not a header without a size", () => {
    const whole = wav([[1, 0, 1, 0]], { depth: "16" }), endless = new Uint8Array(whole);
    for (const bytes of [new Uint8Array(), Buffer.from("RIFFxxxxWAVE"), whole.subarray(0, 30), whole.subarray(0, -2)]) {
      assert.throws(
        () => decodeSound(bytes, {}, "x.wav"),
        failure("TypeError", "INVALID_BYTES", /Cannot read x\.wav: /),
      );
    }
    new DataView(endless.buffer).setUint32(40, 0xffff_ffff, true);
    assert.equal(decodeSound(endless, {}, "x.wav").samples.length, 4);
  });
});

describe("runWindows", () => {
  const sound = (...samples: number[]) => ({
    wanted: { name: "x", dtype: "float32", shape: ["N"], reshape: false } as const,
    sound: { samples: Float32Array.from(samples), rate: 4 },
    from: "x.wav",
  });
  const { signal } = new AbortController();

  it("covers a sound, the last window filled with silence", async () => {
    using model = await open(identity("float32", ["N"]));
    const found: [number, number[]][] = [];
    for (const [window, hop] of [[2, 2], [3, 2]] as const) {
      const windows = runWindows(model, sound(1, 2, 3, 4, 5), {}, { window, hop, outputs: ["y"] }, signal);
      for await (const { start, outputs } of windows) found.push([start, [...outputs.y!.as("float32").data]]);
    }
    const [pairs, overlapping] = [found.slice(0, 3), found.slice(3)];
    assert.deepEqual(pairs, [[0, [1, 2]], [0.5, [3, 4]], [1, [5, 0]]]);
    assert.deepEqual(overlapping, [[0, [1, 2, 3]], [0.5, [3, 4, 5]]]);
  });

  it("counts windows", () => {
    const counts = [[0, 4, 4], [1, 4, 4], [4, 4, 4], [5, 4, 4], [8, 4, 2], [9, 4, 2], [9, 4, 8]] as const;
    assert.deepEqual(counts.map(([length, window, hop]) => windowCount(length, window, hop)), [0, 1, 1, 2, 3, 4, 2]);
  });

  it("feeds states back in", async () => {
    using model = await open(state(["N"]));
    const options = { window: 1, state: new Map([["state", "next_state"]]), outputs: ["y", "next_state"] };
    const sums: number[] = [], feeds = { state: Tensor.zeros("float32", [1]) };
    for await (const { outputs } of runWindows(model, sound(1, 2, 3, 4), feeds, options, signal)) {
      sums.push(outputs.next_state!.as("float32").data[0]!);
    }
    assert.deepEqual(sums, [1, 3, 6, 10]);
    assert.equal(feeds.state.data[0], 0);
  });

  it("refuses a sound without samples", async () => {
    using model = await open(identity("float32", ["N"]));
    const windows = runWindows(model, sound(), {}, { window: 2, outputs: ["y"] }, signal);
    await assert.rejects(windows.next(), failure("TypeError", "INVALID_ARGUMENT", /it has no samples/));
  });
});

describe("coload run on a sound", () => {
  let folder: TemporaryFolder;

  beforeEach(() => folder = new TemporaryFolder());
  afterEach(() => folder[Symbol.dispose]());

  const run = (...args: string[]): Promise<Outcome> => runScript(MAIN, ["run", ...args], { cwd: folder.path });
  function write(name: string, bytes: Uint8Array): string {
    writeFileSync(folder.join(name), bytes);
    return folder.join(name);
  }
  const speech = ["--input", "sr=16000", "--state", "state=stateN", "--shape", "state=2,1,128"];

  it("runs a voice activity model, a line for each window", async () => {
    const file = write("x.wav", wav([tone(440, 16_000, 2000)])), args = [SILERO, file, "--window", "512", ...speech];
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ""]);
    const starts = ["0.000", "0.032", "0.064", "0.096"].map((start) => ` +${start} s  output 0\\.[0-9]+\n`);
    assert.match(stdout, new RegExp(`^${starts.join("")}$`));
    const lines = (await run(...args, "--json", "--output", "output=y.npy")).stdout.trimEnd().split("\n");
    const found = lines.map((line) => JSON.parse(line)),
      stacked = decodeNpy(new Uint8Array(readFileSync(folder.join("y.npy"))), "");
    assert.deepEqual(found.map(({ window, start }) => [window, start]), [[0, 0], [1, 0.032], [2, 0.064], [3, 0.096]]);
    assert.deepEqual(Object.keys(found[0].outputs), ["output"]);
    assert.deepEqual(stacked.shape, [4, 1, 1]);
    assert.deepEqual([...stacked.data], found.flatMap(({ outputs }) => outputs.output.data));
  });

  it("resamples to the rate that the model is told", async () => {
    const file = write("x.wav", wav([tone(440, 8000, 1024)], { rate: 8000 })),
      args = [SILERO, file, "--window", "512", ...speech];
    const { code, stderr } = await run(...args);
    assert.equal(code, 2);
    assert.match(stderr, /16000 Hz wanted by "sr", 8000 Hz found; --rate 16000 resamples it/);
    assert.equal((await run(...args, "--rate", "16000")).stdout.trimEnd().split("\n").length, 4);
  });

  it("takes the whole sound as many dimensions as the model wants", async () => {
    const file = write("x.wav", wav([[0.5, 1]]));
    for (const shape of [["N"], [1, "N"], ["B", 1, "N"]]) {
      const { stdout, stderr } = await run(write("model.onnx", identity("float32", shape)), file, "--json");
      assert.deepEqual(JSON.parse(stdout || stderr).y.shape, [...shape.slice(1).map(() => 1), 2]);
    }
  });

  it("refuses models and command lines that do not fit", async () => {
    const file = write("x.wav", wav([[0.5, 1, 0]])), fixed = write("fixed.onnx", identity("float32", [1, 2]));
    const fails = async (exitCode: number, message: RegExp, ...args: string[]) => {
      const { code, stdout, stderr } = await run(...args);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [exitCode, ""]);
    };
    await fails(1, /shape \[1, 2\] wanted, \[1, 3\] found; --window 2 runs it over the sound/, fixed, file);
    await fails(
      1,
      /with a window of .*: shape \[1, 2\] wanted, \[1, 3\] found; --window 2/,
      fixed,
      file,
      "--window",
      "3",
    );
    await fails(1, /int16 wanted, a sound gives floats/, write("int.onnx", identity("int16", ["N"])), file);
    const window = [file, "--window", "2"], states = [write("state.onnx", state()), ...window, "--state"];
    await fails(2, /feed "y2" back as "state": the model's outputs are y, next_state/, ...states, "state=y2");
    await fails(2, /feed "y" back as "z": the model's inputs are x, state/, ...states, "z=y");
    const two = [write("add.onnx", add()), ...window, "--input", `a=${file}`];
    await fails(2, /Cannot run window by window: one sound wanted, 2 found/, ...two);
  });

  it("ends when it is interrupted in the middle", async () => {
    const file = write("x.wav", wav([new Int16Array(4_000_000)], { depth: "16" })),
      model = write("model.onnx", identity("float32", [2]));
    const child = startScript(MAIN, ["run", model, file, "--window", "2", "--output", `y=${folder.join("y.npy")}`]);
    child.stdout!.once("data", () => process.kill(child.pid!, "SIGINT"));
    const { code, stderr } = await outcome(child);
    assert.equal(code, 130, stderr);
    assert.match(stderr, /coload: interrupted by SIGINT\n$/);
  });
});
