import { rangeError, typeError } from "../../errors.ts";
import type { ValueInfo } from "../../ort/type_info.ts";
import { toBFloat16 } from "../../tensor/bfloat16.ts";
import { arrayOf, type DType, type NumericDType } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type Content, nameOf, readContent, STDIN } from "./content.ts";
import { convertTensor } from "./convert.ts";
import type { Flags } from "./flags.ts";
import { tensorOfJson } from "./json.ts";
import { pictureTensor } from "./picture_tensor.ts";
import type { Sound } from "./sound.ts";
import { closedShape, fitShape, showSizes, type Wanted, wantedOf } from "./wanted.ts";

/** An input that a sound is given for. */
export interface GivenSound {
  readonly wanted: Wanted;
  readonly sound: Sound;
  readonly from: string;
}

/** What all inputs are fed with. */
export interface Given {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** Sounds, which windows are cut of; they are not among the feeds. */
  readonly sounds: readonly GivenSound[];
}

/** Names under which models take the rate of a sound. */
const RATE = /^(?:sr|sample_?rate|sampling_?rate)$/i;

/** Samples as elements of a float dtype. @throws {TypeError} INVALID_DTYPE for any other */
export function soundData(
  { name, dtype }: Wanted,
  samples: Float32Array<ArrayBuffer>,
  from: string,
): Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  if (!dtype.includes("float")) {
    throw typeError("INVALID_DTYPE", `Cannot feed "${name}" with ${from}: ${dtype} wanted, a sound gives floats`);
  }
  if (dtype === "float32") return samples;
  if (dtype === "bfloat16") return toBFloat16(samples);
  const data = new (arrayOf(dtype as NumericDType))(samples.length) as Float64Array<ArrayBuffer>;
  data.set(samples);
  return data;
}

/** The shape of `length` samples: as many dimensions as the input has, two where it leaves that open. */
export function soundShape(wanted: Wanted, length: number, from: string): readonly number[] {
  const found = [...new Array<number>(Math.max(0, (wanted.shape.length || 2) - 1)).fill(1), length];
  try {
    return fitShape(wanted, found, from);
  } catch (error) {
    const last = wanted.shape.at(-1);
    if (typeof last !== "number" || last < 1) throw error;
    throw rangeError("INVALID_SHAPE", `${(error as Error).message}; --window ${last} runs it over the sound`, {
      cause: error,
    });
  }
}

/** A sound as one input. */
export function soundTensor({ wanted, sound: { samples }, from }: GivenSound): Tensor {
  const shape = soundShape(wanted, samples.length, from);
  return Tensor.from(soundData(wanted, samples, from), shape, wanted.dtype);
}

function reshaped(tensor: Tensor, wanted: Wanted, from: string): Tensor {
  const shape = fitShape(wanted, tensor.shape, from), { data } = tensor;
  return Tensor.from(data as Float32Array, shape, tensor.dtype);
}

function jsonTensor(content: Content & { kind: "json" }, dtype: DType, doing: string): Tensor {
  try {
    return tensorOfJson(content.elements, content.elements.dtype ?? dtype);
  } catch (cause) {
    const { code, message } = cause as Error & { code: "OUT_OF_RANGE" };
    throw typeError(code, `Cannot ${doing}: ${message.replace(/^Cannot make a tensor of /, "as ")}`, { cause });
  }
}

function tensorOf(content: Exclude<Content, { kind: "sound" }>, wanted: Wanted, from: string, flags: Flags): Tensor {
  const { name, dtype } = wanted, doing = `feed "${name}" with ${from}`, cast = flags.cast ?? false;
  switch (content.kind) {
    case "zeros":
      return Tensor.zeros(dtype, closedShape(wanted, "make zeros for"));
    case "picture":
      return pictureTensor(content.picture, wanted, flags, from);
    case "tensor":
      return reshaped(convertTensor(content.tensor, dtype, cast, doing), wanted, from);
    case "json":
      return reshaped(convertTensor(jsonTensor(content, dtype, doing), dtype, cast, doing), wanted, from);
  }
}

/** By the inputs' names, where each is fed from; the positional file goes to the one that nothing else is said of. */
function sources(inputs: readonly ValueInfo[], file: string | undefined, flags: Flags): Map<string, string> {
  const given = new Map(flags.input), list = inputs.map(({ name }) => name).join(", ");
  for (const name of [...given.keys(), ...flags.shape?.keys() ?? []]) {
    if (inputs.some((input) => input.name === name)) continue;
    throw typeError("INVALID_ARGUMENT", `Cannot feed "${name}": the model's inputs are ${list}`);
  }
  for (const name of flags.state?.keys() ?? []) if (!given.has(name)) given.set(name, "zeros");
  const missing = inputs.filter(({ name }) => !given.has(name));
  if (file !== undefined && missing.length !== 1) {
    const which = missing.length === 0
      ? "every input is given"
      : `${missing.map(({ name }) => name).join(", ")} want one`;
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot tell which input ${file} is for: ${which}; say it as in --input name=${file}`,
    );
  }
  if (file !== undefined) given.set(missing[0]!.name, file);
  else if (missing.length > 0) {
    const [{ name, dtype, shape }] = missing as [ValueInfo];
    const wanted = `${dtype} ${showSizes(shape)} wanted, nothing found`;
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot run without input "${name}": ${wanted}; --input ${name}=zeros feeds zeros`,
    );
  }
  if ([...given.values()].filter((source) => source === STDIN).length < 2) return given;
  throw typeError("INVALID_ARGUMENT", "Cannot feed two inputs from standard input");
}

function checkRate(feeds: Given["feeds"], sounds: readonly GivenSound[]): void {
  for (const [name, tensor] of Object.entries(feeds)) {
    if (!RATE.test(name) || tensor.size !== 1) continue;
    const rate = Number(tensor.data[0]), other = sounds.find(({ sound }) => sound.rate !== rate);
    if (other === undefined) continue;
    const message = `${rate} Hz wanted by "${name}", ${other.sound.rate} Hz found; --rate ${rate} resamples it`;
    throw typeError("INVALID_ARGUMENT", `Cannot feed "${other.wanted.name}" with ${other.from}: ${message}`);
  }
}

/** Refuses options for pictures or sounds that there are not. */
function checkKinds(kinds: ReadonlySet<string>, flags: Flags): void {
  const { layout, mean, std, bgr, rate, channel, window } = flags;
  if (!kinds.has("picture") && [layout, mean, std, bgr].some((value) => value !== undefined)) {
    throw typeError("INVALID_ARGUMENT", "Cannot use --layout, --mean, --std or --bgr: no input is a picture");
  }
  if (!kinds.has("sound") && [rate, channel, window].some((value) => value !== undefined)) {
    throw typeError("INVALID_ARGUMENT", "Cannot use --rate, --channel or --window: no input is a sound");
  }
}

/**
 * Reads what every input is fed with.
 *
 * @throws {TypeError} INVALID_ARGUMENT for a command line that does not fit the model
 * @throws {TypeError | RangeError} INVALID_DTYPE, INVALID_SHAPE, INVALID_BYTES and the like for what the model does not take
 */
export async function readInputs(
  inputs: readonly ValueInfo[],
  file: string | undefined,
  flags: Flags,
  signal: AbortSignal,
): Promise<Given> {
  const from = sources(inputs, file, flags), feeds: Record<string, Tensor> = {}, sounds: GivenSound[] = [];
  const kinds = new Set<string>();
  for (const info of inputs) {
    const text = from.get(info.name)!, name = nameOf(text), wanted = wantedOf(info, flags);
    const content = await readContent(text, flags, signal);
    kinds.add(content.kind);
    if (content.kind === "sound") sounds.push({ wanted, sound: content.sound, from: name });
    else feeds[info.name] = tensorOf(content, wanted, name, flags);
  }
  checkKinds(kinds, flags);
  checkRate(feeds, sounds);
  return { feeds, sounds };
}
