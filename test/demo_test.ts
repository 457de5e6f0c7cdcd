import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import { type DemoFiles, findFiles } from "../demo/files.ts";
import { drawSpeech } from "../demo/picture/speech.ts";
import { type Results, runPipeline } from "../demo/pipeline.ts";
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

  it("hears the four stretches of speech, to a tenth of a second", () => {
    const expected = [[0.96, 4.96], [5.15, 6.72], [6.94, 7.39], [7.94, 9.5]];
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
    const words = ["ALFAMART", "PT.SUMBER", "TANGERANG", "NPWP:01.336.238.9-054.000", "MARLBORO", "44,900", "Tunai"];
    let from = 0;
    for (const word of [...words, "Kembalian", "17-01-2024", "Kritik&Saran:1500959", "081110640888"]) {
      const at = text.indexOf(word, from);
      assert.ok(at >= 0, `${word} is missing, or comes too early, in:\n${text}`);
      from = at + word.length;
    }
    assert.ok(lines.filter(({ score }) => score > 0.9).length >= 15);
  });

  for (const [reader, view] of [[1, "upside down"], [2, "tilted"]] as const) {
    it(`reads the same receipt ${view}`, () => {
      const { lines } = results.readers[reader];
      const text = lines.map((line) => line.text.replace(/\s/g, ""));
      assert.ok(text.includes("NPWP:01.336.238.9-054.000"), text.join("\n"));
      assert.ok(text.indexOf("PT.SUMBERALFARIATRIJAYA,TBK") < text.indexOf("Kritik&Saran:1500959"), text.join("\n"));
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
