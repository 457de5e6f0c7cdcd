import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { encode as encodePng } from "fast-png";
import wavefile from "wavefile";
import { runChild } from "../demo/children.ts";
import { type DemoFiles, findFiles } from "../demo/files.ts";
import { decodePicture, turn } from "../demo/image.ts";
import { drawSpeech } from "../demo/picture/speech.ts";
import { type Results, runPipeline } from "../demo/pipeline.ts";
import { decodeSpeech } from "../demo/wav.ts";
import { models } from "../mod.ts";

describe("the demo's pipeline", () => {
  let files: DemoFiles;
  let results: Results;
  let requests: number;
  let loads: number;

  before(async () => {
    files = findFiles();
    const earlier = models.metrics();
    results = await runPipeline(files);
    const now = models.metrics();
    requests = now.cacheHits + now.cacheMisses - earlier.cacheHits - earlier.cacheMisses;
    loads = now.loads - earlier.loads;
  });

  after(() => models.clear());

  it("hears the four stretches of speech, to a tenth of a second", () => {
    const expected = [[0.51, 2.94], [3.46, 5.73], [6.5, 8.29], [8.74, 10.02]];
    const { segments } = results.heard;
    assert.equal(segments.length, expected.length);
    for (const [i, [start, end]] of expected.entries()) {
      assert.ok(Math.abs(segments[i].start - start) < 0.1, `start of ${i}: ${segments[i].start}`);
      assert.ok(Math.abs(segments[i].end - end) < 0.1, `end of ${i}: ${segments[i].end}`);
    }
  });

  it("reads the receipt, in reading order", () => {
    const [{ lines }] = results.readers;
    const text = lines.map((line) => line.text.replace(/\s/g, "")).join("\n");
    const words = ["COLOADCOFFEE", "14HarbourStreet", "ReceiptNo.000471", "2024-01-17", "09:42", "Table3"];
    const items = ["Flatwhite", "2", "7.60", "Almondcroissant", "1", "3.25", "Sparklingwater", "1", "2.10"];
    const sums = ["TOTAL", "12.95", "Cash", "20.00", "Change", "7.05"];
    let from = 0;
    for (const word of [...words, ...items, ...sums, "Tellus:hello@coload.example", "Thankyou!"]) {
      const at = text.indexOf(word, from);
      assert.ok(at >= 0, `${word} is missing, or comes too early, in:\n${text}`);
      from = at + word.length;
    }
    assert.ok(lines.filter(({ score }) => score > 0.9).length >= 20);
  });

  for (const [reader, view] of [[1, "upside down"], [2, "tilted"]] as const) {
    it(`reads the same receipt ${view}`, () => {
      const { lines } = results.readers[reader];
      const text = lines.map((line) => line.text.replace(/\s/g, ""));
      assert.ok(text.includes("ReceiptNo.000471"), text.join("\n"));
      assert.deepEqual([text.at(0), text.at(-1)], ["COLOADCOFFEE", "Thankyou!"], text.join("\n"));
      assert.equal(lines.filter(({ upsideDown }) => upsideDown).length > lines.length / 2, view === "upside down");
    });
  }

  it("loads four models and the dictionary once for thirteen requests", () => {
    assert.equal(requests, 13);
    assert.ok(loads <= 5, `${loads} loads`);
  });

  it("draws the recording with its stretches of speech", () => {
    const svg = drawSpeech(results.heard);
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    assert.equal(svg.match(/fill-opacity="0\.10"/g)?.length, 4);
  });

  it("finds inputs that exist", async () => {
    for (const path of Object.values(files)) assert.ok((await readFile(path)).length > 0, path);
  });
});

describe("the demo's pictures", () => {
  it("decode a PNG with transparency onto white", () => {
    const data = Uint8Array.of(255, 0, 0, 255, 0, 0, 0, 0);
    const picture = decodePicture(encodePng({ width: 2, height: 1, data, channels: 4 }));
    assert.deepEqual(picture, { width: 2, height: 1, rgb: Uint8Array.of(255, 0, 0, 255, 255, 255) });
  });

  it("decode a PNG of 16 bits of gray", () => {
    const data = Uint16Array.of(0, 0x8080, 0xffff);
    const { rgb } = decodePicture(encodePng({ width: 3, height: 1, data, channels: 1, depth: 16 }));
    assert.deepEqual(rgb, Uint8Array.of(0, 0, 0, 128, 128, 128, 255, 255, 255));
  });

  it("refuse what is neither JPEG nor PNG", () => {
    assert.throws(() => decodePicture(Uint8Array.of(71, 73, 70, 56)), TypeError);
  });

  it("come back when they are turned twice", () => {
    const picture = { width: 2, height: 2, rgb: Uint8Array.from({ length: 12 }, (_, i) => i) };
    assert.deepEqual([...turn(picture, 180).rgb.slice(0, 3)], [9, 10, 11]);
    assert.deepEqual(turn(turn(picture, 180), 180), picture);
  });
});

describe("the demo's speech", () => {
  const tone = (rate: number, length: number) =>
    Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / rate) / 2);

  for (const coding of ["16", "24", "32f", "8m"]) {
    it(`is brought to 16 kHz and one channel from 44.1 kHz stereo of ${coding} bits`, () => {
      const wav = new wavefile.WaveFile();
      const channel = tone(44_100, 44_100).map((sample) => Math.round(sample * 32767));
      wav.fromScratch(2, 44_100, "16", [channel, channel]);
      if (coding === "8m") wav.toMuLaw();
      else wav.toBitDepth(coding);
      const samples = decodeSpeech(wav.toBuffer());
      const expected = tone(16_000, 16_000);
      assert.equal(samples.length, expected.length);
      for (let i = 100; i < 15_900; i++) assert.ok(Math.abs(samples[i] - expected[i]) < 0.02, `sample ${i}`);
    });
  }
});

describe("a child of the demo", () => {
  it("that ends early is an error that says so", async () => {
    await assert.rejects(runChild("no_such_script.ts", []), /wanted its end marker, but it ended with/);
  });
});
