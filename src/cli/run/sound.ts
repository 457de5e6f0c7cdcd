import wavefile from "wavefile";
import { typeError } from "../../errors.ts";
import { resample } from "./resample.ts";

/** One channel of sound. */
export interface Sound {
  /** From -1 to 1. */
  readonly samples: Float32Array<ArrayBuffer>;
  /** Samples a second. */
  readonly rate: number;
}

/** What is wanted of a sound. */
export interface SoundOptions {
  /** Samples a second; the file's own by default. */
  readonly rate?: number;
  /** From 1 on; the mean of all by default. */
  readonly channel?: number;
}

/** Sizes from here on stand in headers that were written before the size was known. */
const UNKNOWN_SIZE = 0x7fff_0000;

function unusable(from: string, why: string, options?: ErrorOptions): TypeError {
  return typeError("INVALID_BYTES", `Cannot read ${from}: ${why}`, options);
}

/** The samples as floats: at once where they are such or 16 bits, for which the library takes a microsecond each. */
function floatsOf(wav: wavefile.WaveFile): Float32Array<ArrayBuffer> {
  const { samples } = wav.data as { samples: Uint8Array }, bytes = samples.slice(), { bitDepth, container } = wav;
  if (container !== "RIFX" && bitDepth === "32f") return new Float32Array(bytes.buffer, 0, bytes.length >> 2);
  if (container !== "RIFX" && bitDepth === "16") {
    return Float32Array.from(new Int16Array(bytes.buffer, 0, bytes.length >> 1), (value) => value / 32768);
  }
  if (bitDepth === "8m") wav.fromMuLaw();
  if (bitDepth === "8a") wav.fromALaw();
  if (bitDepth === "4") wav.fromIMAADPCM();
  wav.toBitDepth("32f");
  return wav.getSamples(true, Float32Array) as unknown as Float32Array<ArrayBuffer>;
}

/** The samples of all channels, one after another, as the file has them. */
function interleaved(bytes: Uint8Array, from: string): Sound & { readonly channels: number } {
  const wav = new wavefile.WaveFile();
  let samples: Float32Array<ArrayBuffer>, wanted: number, found: number;
  try {
    wav.fromBuffer(bytes);
    ({ chunkSize: wanted, samples: { length: found } } = wav.data as { chunkSize: number; samples: Uint8Array });
    samples = floatsOf(wav);
  } catch (cause) {
    throw unusable(from, `it is no WAV file that can be read: ${(cause as Error).message}`, { cause });
  }
  if (found < wanted && wanted < UNKNOWN_SIZE) {
    throw unusable(from, `${wanted} bytes of samples wanted, ${found} found`);
  }
  const { sampleRate: rate, numChannels: channels } = wav.fmt as { sampleRate: number; numChannels: number };
  if (rate === 0 || channels === 0) throw unusable(from, `it says ${rate} Hz and ${channels} channels`);
  return { samples, rate, channels };
}

/** One channel of several, or the mean of all. */
function pick(samples: Float32Array<ArrayBuffer>, channels: number, channel: number | undefined): Sound["samples"] {
  if (channels === 1) return samples;
  const mono = new Float32Array(Math.floor(samples.length / channels));
  for (let i = 0, at = 0; i < mono.length; i++, at += channels) {
    if (channel !== undefined) mono[i] = samples[at + channel - 1]!;
    else for (let c = 0; c < channels; c++) mono[i]! += samples[at + c]! / channels;
  }
  return mono;
}

/**
 * Decodes a WAV file of any coding.
 *
 * @throws {TypeError} INVALID_BYTES when it is none, or cut short
 * @throws {TypeError} INVALID_ARGUMENT when it has not so many channels
 */
export function decodeSound(bytes: Uint8Array, options: SoundOptions, from: string): Sound {
  const { samples, rate, channels } = interleaved(bytes, from), { channel } = options;
  if (channel !== undefined && channel > channels) {
    throw typeError("INVALID_ARGUMENT", `Cannot take channel ${channel} of ${from}: it has ${channels}`);
  }
  const wanted = options.rate ?? rate;
  return { samples: resample(pick(samples, channels, channel), rate, wanted), rate: wanted };
}
