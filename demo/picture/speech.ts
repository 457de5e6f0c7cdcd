/**
 * The picture of a recording: its waveform, the probability of speech below it, and the stretches of speech.
 *
 * @module
 */
import type { Heard } from "../pipeline.ts";
import { stepLength } from "../vad.ts";
import { sampleRate } from "../wav.ts";
import { card, element, label, palette, points } from "./svg.ts";

const width = 1200;
const height = 480;
const left = 84;
const right = 40;
const wave = { top: 128, height: 140 };
const curve = { top: 300, height: 120 };

/** Draws it as SVG. */
export function drawSpeech({ samples, probabilities, segments }: Heard): string {
  const duration = samples.length / sampleRate;
  const x = (seconds: number) => left + (seconds / duration) * (width - left - right);
  const spoken = segments.reduce((sum, { start, end }) => sum + end - start, 0);
  const subtitle = `${spoken.toFixed(1)} s of speech in ${duration.toFixed(1)} s, found by Silero VAD every ` +
    `${(stepLength / sampleRate) * 1000} ms`;
  const bands = segments.map(({ start, end }) =>
    drawBand(x(start), x(end), `${start.toFixed(2)} – ${end.toFixed(2)} s`)
  );
  const body = [...bands, drawAxes(duration, x), drawWave(samples), drawCurve(probabilities, x)].join("");
  return card({ width, height }, "Speech over time", subtitle, body);
}

/** A stretch of speech; its times only where the neighbours leave them room. */
function drawBand(from: number, to: number, times: string): string {
  const band = element("rect", {
    x: from,
    y: wave.top - 8,
    width: to - from,
    height: curve.top + curve.height - wave.top + 8,
    rx: 6,
    fill: palette.accent,
    "fill-opacity": "0.10",
  });
  const centered = { "text-anchor": "middle", "font-size": 12, fill: palette.accent };
  return to - from < 40 ? band : band + label((from + to) / 2, wave.top - 16, times, centered);
}

/** For every pixel column the lowest and the highest sample. */
function drawWave(samples: Float32Array): string {
  const columns = width - left - right;
  const middle = wave.top + wave.height / 2;
  const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1e-6);
  let path = "";
  for (let column = 0; column < columns; column++) {
    const part = samples.subarray(
      Math.floor((column * samples.length) / columns),
      Math.ceil(((column + 1) * samples.length) / columns),
    );
    const low = (part.reduce((a, b) => Math.min(a, b)) / peak) * (wave.height / 2);
    const high = (part.reduce((a, b) => Math.max(a, b)) / peak) * (wave.height / 2);
    path += `M${left + column + 0.5} ${(middle - high - 0.3).toFixed(1)}V${(middle - low + 0.3).toFixed(1)}`;
  }
  return element("path", { d: path, stroke: palette.wave, "stroke-width": 1, fill: "none" });
}

function drawCurve(probabilities: Float32Array, x: (seconds: number) => number): string {
  const bottom = curve.top + curve.height;
  const line = [...probabilities].map((p, step) => ({
    x: x(((step + 0.5) * stepLength) / sampleRate),
    y: bottom - p * curve.height,
  }));
  const area = [{ x: line[0].x, y: bottom }, ...line, { x: line[line.length - 1].x, y: bottom }];
  return element("polygon", { points: points(area), fill: palette.accent, "fill-opacity": "0.18" }) +
    element("polyline", {
      points: points(line),
      fill: "none",
      stroke: palette.accent,
      "stroke-width": 2,
      "stroke-linejoin": "round",
    });
}

function drawAxes(duration: number, x: (seconds: number) => number): string {
  const bottom = curve.top + curve.height;
  const every = Math.max(1, Math.ceil(duration / 15));
  const parts: string[] = [];
  for (const probability of [0, 0.5, 1]) {
    const y = bottom - probability * curve.height;
    const dashed: Record<string, string> = probability === 0.5 ? { "stroke-dasharray": "4 4" } : {};
    const stroke = probability === 0.5 ? palette.warm : palette.faint;
    parts.push(element("line", { x1: left, x2: width - right, y1: y, y2: y, stroke, ...dashed }));
    parts.push(label(left - 12, y + 4, probability.toFixed(1), { ...small, "text-anchor": "end" }));
  }
  parts.push(label(left - 12, wave.top + wave.height / 2 + 4, "sound", { ...small, "text-anchor": "end" }));
  parts.push(label(left, curve.top - 12, "probability of speech", small));
  for (let second = 0; second <= duration; second += every) {
    parts.push(label(x(second), bottom + 26, `${second} s`, { ...small, "text-anchor": "middle" }));
  }
  return parts.join("");
}

const small = { "font-size": 12, fill: palette.soft };
