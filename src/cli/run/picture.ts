import { decode as decodePng } from "fast-png";
import jpeg from "jpeg-js";
import { typeError } from "../../errors.ts";

/** An 8 bit RGB picture, rows from the top, three bytes a pixel, no padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** How a picture takes on another shape: distorted, its middle alone, or whole between black bars. */
export type Fit = "stretch" | "crop" | "pad";

/** Decodes a JPEG or a PNG; transparency shows white. @throws {TypeError} INVALID_BYTES when it is neither, or damaged */
export function decodePicture(bytes: Uint8Array, from: string): Picture {
  try {
    if (bytes[0] === 0x89) return fromPng(bytes);
    const { width, height, data } = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
    });
    return { width, height, rgb: data };
  } catch (cause) {
    const message = `Cannot read ${from}: it is no PNG or JPEG picture that can be read: ${(cause as Error).message}`;
    throw typeError("INVALID_BYTES", message, { cause });
  }
}

function fromPng(bytes: Uint8Array): Picture {
  const { width, height, data, channels, depth, palette } = decodePng(bytes, { checkCrc: true });
  const most = 2 ** depth - 1, rowLength = Math.ceil(width * channels * Math.min(depth, 8) / 8);
  const valueAt = (y: number, index: number): number => {
    if (depth >= 8) return data[y * rowLength + index]!;
    const bit = index * depth;
    return (data[y * rowLength + (bit >> 3)]! >> (8 - depth - (bit & 7))) & most;
  };
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const entry = palette?.[valueAt(y, x)];
      const value = (channel: number): number => valueAt(y, x * channels + channel) * 255 / most;
      const alpha = entry ? entry[3] ?? 255 : channels % 2 === 0 ? value(channels - 1) : 255;
      for (let c = 0; c < 3; c++) {
        const opaque = entry ? entry[c]! : value(channels < 3 ? 0 : c);
        rgb[to++] = 255.5 + (opaque - 255) * (alpha / 255);
      }
    }
  }
  return { width, height, rgb };
}

/** The source's pixels that one pixel is made of, and how much of each: a triangle, as wide as the step between them. */
interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

/** @param start where the stretch that becomes `to` pixels begins in `size` pixels, and `length` how long it is */
function tapsOf(size: number, start: number, length: number, to: number): Taps[] {
  const step = length / to, reach = Math.max(1, step);
  return Array.from({ length: to }, (_, i) => {
    const center = start + (i + 0.5) * step;
    const first = Math.max(0, Math.floor(center - reach + 0.5));
    const end = Math.min(size, Math.max(first + 1, Math.floor(center + reach + 0.5)));
    const weights = Array.from({ length: end - first }, (_, k) => {
      return Math.max(0, 1 - Math.abs(first + k + 0.5 - center) / reach);
    });
    const sum = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: sum === 0 ? weights.fill(1 / weights.length) : weights.map((weight) => weight / sum) };
  });
}

/** Makes the rows or the columns of a picture others. */
function blend(from: ArrayLike<number>, lines: number, lineStep: number, taps: readonly Taps[], step: number, to: {
  readonly values: Float32Array;
  readonly lineStep: number;
  readonly step: number;
}): void {
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < taps.length; i++) {
      const { first, weights } = taps[i]!;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0, at = line * lineStep + first * step + c; k < weights.length; k++, at += step) {
          sum += weights[k]! * from[at]!;
        }
        to.values[line * to.lineStep + i * to.step + c] = sum;
      }
    }
  }
}

/** The stretch of a picture at another size; one that shrinks is smoothed first. */
function resample(source: Picture, columns: readonly Taps[], rows: readonly Taps[]): Picture {
  const width = columns.length, height = rows.length, line = source.width * 3;
  const wide = new Float32Array(width * source.height * 3), done = new Float32Array(width * height * 3);
  blend(source.rgb, source.height, line, columns, 3, { values: wide, lineStep: width * 3, step: 3 });
  blend(wide, width, 3, rows, width * 3, { values: done, lineStep: 3, step: width * 3 });
  return { width, height, rgb: Uint8Array.from(done, (value) => value + 0.5) };
}

/** A picture at another size. */
export function resize(source: Picture, width: number, height: number, fit: Fit): Picture {
  if (source.width === width && source.height === height) return source;
  const scales = [width / source.width, height / source.height];
  if (fit === "pad") {
    const inner = [source.width, source.height].map((size) => Math.max(1, Math.round(size * Math.min(...scales))));
    return pad(resize(source, Math.min(width, inner[0]!), Math.min(height, inner[1]!), "stretch"), width, height);
  }
  const scale = Math.max(...scales), crop = fit === "crop";
  const wide = crop ? width / scale : source.width, high = crop ? height / scale : source.height;
  const columns = tapsOf(source.width, (source.width - wide) / 2, wide, width);
  return resample(source, columns, tapsOf(source.height, (source.height - high) / 2, high, height));
}

function pad(source: Picture, width: number, height: number): Picture {
  const rgb = new Uint8Array(width * height * 3);
  const left = (width - source.width) >> 1, top = (height - source.height) >> 1, line = source.width * 3;
  for (let y = 0; y < source.height; y++) {
    rgb.set(source.rgb.subarray(y * line, (y + 1) * line), ((top + y) * width + left) * 3);
  }
  return { width, height, rgb };
}
