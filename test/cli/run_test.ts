import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeNpy, encodeNpy } from "../../src/cli/run/npy.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { add, dynamicOutput, identity, sequenceInput, sequenceOutput } from "../support/models.ts";
import { inPairs, onBun, type Outcome, outcome, runScript, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url)), SLOW = { timeout: 60_000 };

describe("coload run", () => {
  let folder: TemporaryFolder;

  beforeEach(() => folder = new TemporaryFolder());
  afterEach(() => folder[Symbol.dispose]());

  function write(name: string, bytes: Uint8Array | string): string {
    writeFileSync(folder.join(name), bytes);
    return folder.join(name);
  }
  const run = (...args: string[]): Promise<Outcome> => runScript(MAIN, ["run", ...args], { cwd: folder.path });
  const npy = (name: string, tensor: Tensor): string => write(name, encodeNpy(tensor, name));

  /** What is on stdout for programs; fails if the command did. */
  async function json(...args: string[]): Promise<Record<string, { dtype: string; shape: number[]; data: unknown[] }>> {
    const { code, stdout, stderr } = await run(...args, "--json");
    assert.deepEqual([code, stderr], [0, ""]);
    return JSON.parse(stdout);
  }

  /** Asserts that a command line fails. */
  async function fails(exitCode: number, message: RegExp, ...args: string[]): Promise<void> {
    const { code, stdout, stderr } = await run(...args);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [exitCode, ""]);
  }

  function withStdin(input: Uint8Array | string, ...args: string[]): Promise<Outcome> {
    const runtime = onBun ? ["run"] : ["run", "--no-lock", "-A"];
    const child = spawn(process.execPath, [...runtime, MAIN, "run", ...args], { cwd: folder.path });
    child.stdin.end(input);
    return outcome(child);
  }

  describe("without inputs", () => {
    it("says what the model wants", async () => {
      const model = write("model.onnx", dynamicOutput()), { code, stdout, stderr } = await run(model);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, /^input +x +float32 +\[N\]\noutput +y +int64 +\[1, count\]$/m);
      assert.match(stderr, /no inputs are given/);
    });

    it("says it to who asks, and to programs", async () => {
      const model = write("model.onnx", sequenceInput()), said = await run(model, "--describe");
      assert.equal(said.code, 0, said.stderr);
      assert.match(said.stdout, /^input +items +sequence<tensor<float32>>\ninput +index +int64 +\[\]$/m);
      const { inputs, outputs } = JSON.parse((await run(model, "--describe", "--json")).stdout);
      assert.deepEqual(inputs[1], { name: "index", kind: "tensor", dtype: "int64", shape: [] });
      assert.equal(outputs[0].name, "y");
    });
  });

  describe("inputs", () => {
    it("are literals, npy and JSON files, and zeros", async () => {
      const model = write("model.onnx", add()), floats = npy("b.npy", Tensor.from(new Float32Array([10, 20])));
      const c = async (...args: string[]) => (await json(model, ...args)).c!.data;
      assert.deepEqual(await c("--input", "a=[1,2]", "--input", `b=${floats}`), [11, 22]);
      write("b.json", '{ "dtype": "float32", "shape": [2], "data": [0.5, "Infinity"] }');
      assert.deepEqual(await c("--input", "a=zeros", "--input", "b=b.json"), [0.5, "Infinity"]);
    });

    it("are a file for the one that nothing else is said of", async () => {
      const model = write("model.onnx", add()), b = write("b.json", "[1,2]");
      assert.deepEqual((await json(model, b, "--input", "a=[1,1]")).c!.data, [2, 3]);
      await fails(2, /Cannot tell which input .*b\.json is for: a, b want one; say it as in --input name=/, model, b);
      const all = ["--input", "a=[1,1]", "--input", "b=zeros"];
      await fails(2, /Cannot tell which input .*: every input is given/, model, b, ...all);
    });

    it("come from standard input, which says itself what it is", async () => {
      const model = write("model.onnx", identity("float32", ["N"])), values = new Float32Array([1, 2, 3]);
      for (const input of ["[1,2,3]", encodeNpy(Tensor.from(values), "x")]) {
        const { code, stdout, stderr } = await withStdin(input, model, "-", "--json");
        assert.equal(code, 0, stderr);
        assert.deepEqual(JSON.parse(stdout).y, { dtype: "float32", shape: [3], data: [1, 2, 3] });
      }
      const both = ["--input", "a=-", "--input", "b=-"], two = write("add.onnx", add());
      const refused = await withStdin("[1,2]", two, ...both);
      assert.deepEqual([refused.code, /two inputs from standard input/.test(refused.stderr)], [2, true]);
    });

    it("keep the digits of whole numbers", async () => {
      const model = write("model.onnx", identity("int64", ["N"]));
      const { stdout } = await run(model, "--json", "--input", 'x=[9007199254740993,"-9223372036854775808",1]');
      assert.match(stdout, /"data":\[9007199254740993,-9223372036854775808,1\]/);
    });

    it("take the shape that the command line says", async () => {
      const model = write("model.onnx", identity("float32", ["N", 2])), flat = write("x.json", "[1,2,3,4]");
      assert.deepEqual((await json(model, flat, "--shape", "x=2,2")).y!.shape, [2, 2]);
      assert.deepEqual((await json(model, "--input", "x=zeros", "--dim", "N=3")).y!.shape, [3, 2]);
      await fails(1, /shape \[N, 2\] wanted, \[4\] found/, model, flat);
      await fails(1, /shape \[3, 2\] wanted, \[4\] found/, model, flat, "--shape", "x=3,2");
      await fails(2, /shape of "x": \[N, 2\] wanted, \[3, 3\] found/, model, flat, "--shape", "x=3,3");
      await fails(
        2,
        /its shape \[N, 2\] is open; say it as in --shape x=1,2 or --dim N=1/,
        model,
        "--input",
        "x=zeros",
      );
      await fails(2, /Cannot set dimension "M": those of the model are N/, model, flat, "--dim", "M=1");
    });

    it("are converted only if nothing is lost, or it is asked for", async () => {
      const model = write("model.onnx", identity("int32", [2])),
        whole = npy("w.npy", Tensor.from(new Float64Array([1, -2])));
      const broken = npy("f.npy", Tensor.from(new Float64Array([1, 2.5])));
      assert.deepEqual((await json(model, whole)).y!.data, [1, -2]);
      assert.deepEqual((await json(model, broken, "--cast")).y!.data, [1, 2]);
      await fails(1, /int32 wanted, float64 found, and element 1 is 2.5, not a whole number .*; --cast/, model, broken);
      await fails(1, /feed "x" with the literal: as int32: element 0 is 0\.5/, model, "--input", "x=[0.5,1]");
    });

    it("that nothing says how to read are refused", async () => {
      const model = write("model.onnx", identity());
      await fails(1, /Cannot read missing\.npy: there is no such file/, model, "missing.npy");
      await fails(
        2,
        /Cannot read x\.txt: a file that ends in \.npy, .* wanted/,
        model,
        write("x.txt", "1 2") && "x.txt",
      );
      await fails(1, /Cannot read x\.npy: Not an \.npy file/, model, write("x.npy", "[1,2] and more") && "x.npy");
      await fails(1, /it is not JSON: .*; NaN and Infinity are written as strings/, model, write("x.json", "[1,NaN]"));
      await fails(1, /x\.png: it is no PNG or JPEG picture/, model, write("x.png", "not a picture"));
      await fails(1, /x\.wav: it is no WAV file/, model, write("x.wav", "not a sound"));
      const whole = encodeNpy(Tensor.from(new Float32Array(2)), "x");
      await fails(1, /2 elements of shape \[2\] wanted, 1 found/, model, write("cut.npy", whole.subarray(0, -4)));
    });

    it("that the model does not have, or lacks, are said", async () => {
      const model = write("model.onnx", add()), sequence = write("sequence.onnx", sequenceInput());
      await fails(2, /Cannot feed "z": the model's inputs are a, b/, model, "--input", "z=[1,2]");
      await fails(2, /input "b": float32 \[2\] wanted, nothing found; --input b=zeros/, model, "--input", "a=[1,2]");
      const args = ["--input", "items=[1]", "--input", "index=0"];
      await fails(1, /Cannot feed "items": the model wants sequence<tensor<float32>>/, sequence, ...args);
    });
  });

  describe("outputs", () => {
    it("are summarized", async () => {
      const model = write("model.onnx", identity("float32", ["N"]));
      const { code, stdout } = await run(model, "--input", 'x=[1,2.5,-4,"NaN",0,7,8]', "--top", "2");
      assert.equal(code, 0);
      assert.match(stdout, /^y +float32 +\[7\] +-4 +8 +2\.4167 +1, 2\.5, -4, NaN, 0, …; 1 NaN$/m);
      assert.match(stdout, /^class +score\n6 +8\n5 +7$/m);
      assert.match(stdout, /^ran in [0-9.]+ ms$/m);
      const { y } = await json(model, "--input", "x=[1,3,2]", "--top", "1");
      assert.deepEqual(y, { dtype: "float32", shape: [3], data: [1, 3, 2], top: [{ index: 1, value: 3 }] });
    });

    it("that are no tensors are left out", async () => {
      const y = await json(write("model.onnx", sequenceOutput()), "--input", "x=[[1,2]]");
      assert.deepEqual(y, { y: { dtype: "float32", shape: [1, 2], data: [1, 2] } });
    });

    it("go to files, which are not replaced unless it is asked for", async () => {
      const model = write("model.onnx", add()), inputs = ["--input", "a=[1,2]", "--input", "b=[0.5,0.25]"];
      const first = await run(model, ...inputs, "--output", "c=c.npy");
      assert.equal(first.code, 0, first.stderr);
      const read = (name: string) => decodeNpy(new Uint8Array(readFileSync(folder.join(name))), name);
      assert.deepEqual([...read("c.npy").as("float32").data], [1.5, 2.25]);
      await fails(1, /c\.npy: it is there already; --force replaces it/, model, ...inputs, "--output", "c=c.npy");
      const again = ["--input", "a=[1,2]", "--input", "b=[1,1]", "--output", "c=c.npy", "--force"];
      assert.equal((await run(model, ...again)).code, 0);
      assert.deepEqual([...read("c.npy").as("float32").data], [2, 3]);
      assert.deepEqual(readdirSync(folder.path).toSorted(), ["c.npy", "model.onnx"]);
    });

    it("in JSON are what an input can be", async () => {
      const model = write("model.onnx", identity("string", ["N"])), text = ["a", 'é "☃"\n', ""];
      const input = `x=${JSON.stringify(text)}`;
      assert.equal((await run(model, "--input", input, "--output", "y=y.json")).code, 0);
      assert.deepEqual((await json(model, "y.json")).y, { dtype: "string", shape: [3], data: text });
      await fails(
        1,
        /Cannot write output "y" as \.npy: its elements are strings/,
        model,
        "y.json",
        "--output",
        "y=y.npy",
      );
      assert.deepEqual(readdirSync(folder.path).toSorted(), ["model.onnx", "y.json"]);
    });

    it("that the model does not have, and files that cannot be, are refused", async () => {
      const model = write("model.onnx", identity()), input = ["--input", "x=[1,2]"];
      await fails(2, /Cannot fetch output "z": the model's outputs are y/, model, ...input, "--output", "z");
      await fails(1, /Cannot write none\/y\.npy: there is no folder none/, model, ...input, "--output", "y=none/y.npy");
    });
  });

  it("refuses what it cannot understand", SLOW, async () => {
    const model = write("model.onnx", identity()),
      wrong = [
        ["--input", "x"],
        ["--input", "x="],
        ["--input", "=1"],
        ["--input", "x=[1,2]", "--input", "x=[1,2]"],
        ["--output", "y=y.txt"],
        ["--dim", "N=0.5"],
        ["--shape", "x=1,,2"],
        ["--shape", "x=-1"],
        ["--window", "0"],
        ["--hop", "5"],
        ["--state", "a=b"],
        ["--top", "none"],
        ["--layout", "NHCW"],
        ["--std", "0"],
        ["--mean", "1,2"],
        ["--model-version", "1"],
        ["--input", "x=[1,2]", "--rate", "8000"],
        ["--input", "x=[1,2]", "--bgr"],
      ];
    const accepted: string[] = [];
    await inPairs(wrong, async (args) => {
      const { code } = await run(model, ...args);
      if (code !== 2) accepted.push(`${args.join(" ")}: ${code}`);
    });
    assert.deepEqual(accepted, []);
    assert.equal((await run()).code, 2);
  });

  it("fails for a model that there is not, or that is none", async () => {
    await fails(1, /Cannot load model .*none\.onnx.*No such file/, "none.onnx", "--input", "x=1");
    await fails(1, /Cannot load model/, write("bad.onnx", Buffer.alloc(100, 7)), "--input", "x=1");
  });

  it("ends when it is interrupted while it waits for standard input", SLOW, async () => {
    const model = write("model.onnx", add()), pipe = folder.join("a.json");
    assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
    const child = startScript(MAIN, ["run", model, "--input", `a=${pipe}`, "--input", "b=-"]), ended = outcome(child);
    const file = await open(pipe, "w"); // once the command has it open
    await file.writeFile("[1,2]");
    await file.close();
    process.kill(child.pid!, "SIGINT");
    const { code, stderr } = await ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /coload: interrupted by SIGINT\n$/);
  });
});
