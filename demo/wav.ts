/**
 * Speech as the voice activity model wants it: 16 kHz, one channel, floats from -1 to 1.
 *
 * @module
 */
import wavefile from "wavefile";

/** The rate that the model was trained on, in samples a second. */
export const sampleRate = 16_000;

/** Decodes a WAV file of any rate, coding and number of channels (channels are averaged). */
export function decodeSpeech(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const wav = new wavefile.WaveFile(bytes);
  if (wav.bitDepth === "8m") wav.fromMuLaw();
  if (wav.bitDepth === "8a") wav.fromALaw();
  if (wav.bitDepth === "4") wav.fromIMAADPCM();
  wav.toBitDepth("32f");
  const format = wav.fmt as { sampleRate: number; numChannels: number };
  const samples = wav.getSamples(true, Float32Array) as unknown as Float32Array<ArrayBuffer>;
  return resample(mixDown(samples, format.numChannels), format.sampleRate);
}

/** Averages the channels of interleaved samples. */
function mixDown(interleaved: Float32Array<ArrayBuffer>, channels: number): Float32Array<ArrayBuffer> {
  if (channels === 1) return interleaved;
  const mono = new Float32Array(Math.floor(interleaved.length / channels));
  for (let i = 0; i < mono.length * channels; i++) mono[Math.floor(i / channels)] += interleaved[i] / channels;
  return mono;
}

/** Zero crossings on either side of the resampling filter. */
const crossings = 16;

/** Resamples with a windowed sinc (Hann), which also removes what 16 kHz cannot hold. */
function resample(samples: Float32Array<ArrayBuffer>, from: number): Float32Array<ArrayBuffer> {
  if (from === sampleRate) return samples;
  const cutoff = Math.min(1, sampleRate / from);
  const reach = crossings / cutoff;
  const out = new Float32Array(Math.floor((samples.length * sampleRate) / from));
  for (let i = 0; i < out.length; i++) {
    const center = (i * from) / sampleRate;
    const first = Math.max(Math.ceil(center - reach), 0);
    const last = Math.min(Math.floor(center + reach), samples.length - 1);
    for (let k = first; k <= last; k++) {
      const distance = k - center;
      const angle = Math.PI * distance * cutoff;
      const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
      out[i] += samples[k] * cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * distance) / reach));
    }
  }
  return out;
}
