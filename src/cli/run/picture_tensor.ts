import { typeError } from "../../errors.ts";
import { toBFloat16 } from "../../tensor/bfloat16.ts";
import { arrayOf, type DType, type NumericDType } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Flags } from "./flags.ts";
import { type Picture, resize } from "./picture.ts";
import { fitShape, isOpen, showSizes, type Wanted } from "./wanted.ts";

type PictureFlags = Pick<Flags, "layout" | "resize" | "scale" | "mean" | "std" | "bgr">;

/** Which dimensions of an input are a picture's. */
interface Axes {
  readonly channel: number | undefined;
  readonly height: number;
  readonly width: number;
}

/** How much a size looks like a number of channels. */
const likeChannels = (size: number | string | undefined): number => size === 3 ? 2 : size === 1 ? 1 : 0;

function axesOf({ name, shape }: Wanted, layout: Flags["layout"], from: string): Axes {
  const rank = shape.length, before = rank - 3;
  if (rank === 2) return { channel: undefined, height: 0, width: 1 };
  const refuse = (why: string) => typeError("INVALID_ARGUMENT", `Cannot feed "${name}" with ${from}: ${why}`);
  if (before !== 0 && before !== 1) throw refuse(`an input of 2 to 4 dimensions wanted, ${showSizes(shape)} found`);
  const first = { channel: before, height: before + 1, width: before + 2 };
  const last = { channel: before + 2, height: before, width: before + 1 };
  if (layout !== undefined) return layout === "NCHW" ? first : last;
  const difference = likeChannels(shape[first.channel]) - likeChannels(shape[last.channel]);
  if (difference === 0) throw refuse(`its shape ${showSizes(shape)} does not say where channels are; use --layout`);
  return difference > 0 ? first : last;
}

/** The size that is open keeps the picture's proportions; if both are, the picture keeps its size. */
function sizeOf({ shape }: Wanted, axes: Axes, { width, height }: Picture): { width: number; height: number } {
  const wide = shape[axes.width]!, high = shape[axes.height]!;
  const scale = !isOpen(wide) ? Number(wide) / width : !isOpen(high) ? Number(high) / height : 1;
  const size = (wanted: number | string, own: number) =>
    isOpen(wanted) ? Math.max(1, Math.round(own * scale)) : Number(wanted);
  return { width: size(wide, width), height: size(high, height) };
}

/** How a channel's byte becomes an element. */
function scaling(dtype: DType, flags: PictureFlags, from: string, name: string): (byte: number, c: number) => number {
  const { scale, mean = [0], std = [1] } = flags;
  if (dtype.includes("float")) {
    const of = (list: readonly number[], c: number) => list[c % list.length]!;
    return (byte, c) => (byte * scale - of(mean, c)) / of(std, c);
  }
  if (dtype !== "uint8") {
    throw typeError(
      "INVALID_DTYPE",
      `Cannot feed "${name}" with ${from}: ${dtype} wanted, a picture gives uint8 or floats`,
    );
  }
  if (flags.mean === undefined && flags.std === undefined) return (byte) => byte;
  throw typeError(
    "INVALID_ARGUMENT",
    `Cannot use --mean and --std for "${name}": it is uint8, which takes bytes as they are`,
  );
}

/** ITU-R BT.601, as Pillow and OpenCV have it. */
function gray(rgb: Uint8Array, at: number): number {
  return Math.round(0.299 * rgb[at]! + 0.587 * rgb[at + 1]! + 0.114 * rgb[at + 2]!);
}

/**
 * A picture as an input of the model's size, layout and dtype: bytes for uint8, `(byte * scale - mean) / std` for floats.
 *
 * @throws {TypeError} INVALID_ARGUMENT, INVALID_DTYPE for an input that no picture can be
 * @throws {RangeError} INVALID_SHAPE
 */
export function pictureTensor(picture: Picture, wanted: Wanted, flags: PictureFlags, from: string): Tensor {
  const { name, dtype, shape } = wanted, axes = axesOf(wanted, flags.layout, from);
  const value = scaling(dtype, flags, from, name), { width, height } = sizeOf(wanted, axes, picture);
  const channels = axes.channel === undefined || shape[axes.channel] === 1 ? 1 : 3;
  const { rgb } = resize(picture, width, height, flags.resize), found = shape.map(() => 1);
  found[axes.width] = width;
  found[axes.height] = height;
  if (axes.channel !== undefined) found[axes.channel] = channels;
  const final = fitShape(wanted, found, from), isLast = axes.channel === shape.length - 1;
  const pixelStep = isLast ? channels : 1, channelStep = isLast ? 1 : width * height;
  const data = new (arrayOf(dtype as NumericDType))(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < channels; c++) {
      const byte = channels === 1 ? gray(rgb, pixel * 3) : rgb[pixel * 3 + (flags.bgr ? 2 - c : c)]!;
      const number = value(byte, c);
      data[pixel * pixelStep + c * channelStep] = dtype === "bfloat16" ? toBFloat16(number) : number;
    }
  }
  return Tensor.from(data, final, dtype);
}
