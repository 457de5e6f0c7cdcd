/**
 * Pictures as the OCR models want them: decoding, resampling, and planes of floats.
 *
 * @module
 */
import jpeg from "jpeg-js";
import { decode as decodePng } from "fast-png";

/** A point in pixels; x grows to the right, y downwards. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** An 8 bit RGB picture, rows from the top, three bytes a pixel, no padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/**
 * Decodes a JPEG or a PNG (transparency shows white).
 *
 * @throws {TypeError} when the bytes are neither.
 */
export function decodePicture(bytes: Uint8Array): Picture {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    const { width, height, data } = jpeg.decode(bytes, { useTArray: true, formatAsRGBA: false });
    return { width, height, rgb: data };
  }
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return fromPng(bytes);
  throw new TypeError(
    `Cannot decode the picture: wanted a JPEG or a PNG, found bytes that begin with ${[...bytes.subarray(0, 4)]}`,
  );
}

function fromPng(bytes: Uint8Array): Picture {
  const { width, height, data, channels, depth, palette } = decodePng(bytes);
  const most = 2 ** depth - 1;
  const rowLength = depth < 8 ? Math.ceil((width * channels * depth) / 8) : width * channels;
  const valueAt = (y: number, index: number) => {
    if (depth >= 8) return data[y * rowLength + index];
    const bit = index * depth;
    return (data[y * rowLength + (bit >> 3)] >> (8 - depth - (bit & 7))) & most;
  };
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const entry = palette?.[valueAt(y, x)];
      const value = (channel: number) => (valueAt(y, x * channels + channel) * 255) / most;
      const alpha = entry ? (entry[3] ?? 255) : channels % 2 === 0 ? value(channels - 1) : 255;
      for (let c = 0; c < 3; c++) {
        const opaque = entry ? entry[c] : value(channels < 3 ? 0 : c);
        rgb[to++] = 255.5 + (opaque - 255) * (alpha / 255);
      }
    }
  }
  return { width, height, rgb };
}

/**
 * Samples a picture on any affine grid: pixel (x, y) of the result is the source at `origin + x * right + y * down`,
 * bilinear, with the border repeated outward. Resizing, cropping and turning are this one function.
 */
export function sample(source: Picture, size: { width: number; height: number }, grid: Grid): Picture {
  const { width, height } = size;
  const { origin, right, down } = grid;
  const rgb = new Uint8Array(width * height * 3);
  const maxX = source.width - 1;
  const maxY = source.height - 1;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const sx = Math.min(Math.max(origin.x + x * right.x + y * down.x, 0), maxX);
      const sy = Math.min(Math.max(origin.y + x * right.y + y * down.y, 0), maxY);
      const x0 = Math.floor(sx);
      const y0 = Math.floor(sy);
      const fx = sx - x0;
      const fy = sy - y0;
      const a = (y0 * source.width + x0) * 3;
      const b = x0 < maxX ? a + 3 : a;
      const below = y0 < maxY ? source.width * 3 : 0;
      for (let c = 0; c < 3; c++) {
        const top = source.rgb[a + c] * (1 - fx) + source.rgb[b + c] * fx;
        const bottom = source.rgb[a + below + c] * (1 - fx) + source.rgb[b + below + c] * fx;
        rgb[at + c] = top * (1 - fy) + bottom * fy + 0.5;
      }
    }
  }
  return { width, height, rgb };
}

/** Where a sampled picture's pixels lie in its source: the first one, the step of a column, the step of a row. */
export interface Grid {
  readonly origin: Point;
  readonly right: Point;
  readonly down: Point;
}

/** The whole picture at another size (pixel centers keep their place). */
export function resize(source: Picture, width: number, height: number): Picture {
  const stepX = source.width / width;
  const stepY = source.height / height;
  return sample(source, { width, height }, {
    origin: { x: stepX / 2 - 0.5, y: stepY / 2 - 0.5 },
    right: { x: stepX, y: 0 },
    down: { x: 0, y: stepY },
  });
}

/** The picture turned clockwise about its center, at its own size. */
export function turn(source: Picture, degrees: number): Picture {
  const cos = Math.cos((degrees * Math.PI) / 180);
  const sin = Math.sin((degrees * Math.PI) / 180);
  const cx = (source.width - 1) / 2;
  const cy = (source.height - 1) / 2;
  return sample(source, source, {
    origin: { x: cx - cos * cx - sin * cy, y: cy + sin * cx - cos * cy },
    right: { x: cos, y: -sin },
    down: { x: sin, y: cos },
  });
}

/** The scale of a channel: `(value / 255 - mean) / deviation`, in the order blue, green, red. */
export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
}

/**
 * The picture as planes of floats in the order blue, green, red, which is what PP-OCR was trained on.
 *
 * @returns float32 `[3, height, width]`; columns beyond the picture's own width are zero.
 */
export function toPlanes(
  picture: Picture,
  { mean, deviation }: Normalization,
  width = picture.width,
): Float32Array<ArrayBuffer> {
  const plane = width * picture.height;
  const planes = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const scale = 1 / (255 * deviation[channel]);
    const shift = mean[channel] / deviation[channel];
    for (let y = 0; y < picture.height; y++) {
      let from = y * picture.width * 3 + 2 - channel;
      let to = channel * plane + y * width;
      for (let x = 0; x < picture.width; x++, from += 3) planes[to++] = picture.rgb[from] * scale - shift;
    }
  }
  return planes;
}
