/**
 * Speech as the voice activity model wants it: 16 kHz, one channel, floats from -1 to 1.
 *
 * @module
 */
import wavefile from "wavefile";

/** The rate that the model was trained on, in samples a second. */
export const sampleRate = 16_000;

/** Decodes a WAV file of any rate, bit depth and number of channels (channels are averaged). */
export function decodeSpeech(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const wav = new wavefile.WaveFile(bytes);
  wav.toBitDepth("32f");
  if ((wav.fmt as { sampleRate: number }).sampleRate !== sampleRate) wav.toSampleRate(sampleRate);
  const { numChannels } = wav.fmt as { numChannels: number };
  const channels = (numChannels === 1 ? [wav.getSamples()] : wav.getSamples()) as unknown as Float64Array[];
  const mono = new Float32Array(channels[0].length);
  for (const channel of channels) for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / numChannels;
  return mono;
}
