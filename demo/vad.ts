/**
 * Who speaks when? Silero voice activity detection, version 5.
 *
 * @module
 */
import { type InferenceSession, Tensor } from "../mod.ts";
import { sampleRate } from "./wav.ts";

/** Samples a step of the model; 32 ms. */
export const stepLength = 512;

/** The model also wants the end of the step before: without it the probabilities are blurred. */
const contextLength = 64;

/** A stretch of speech, in seconds from the start. */
export interface Segment {
  readonly start: number;
  readonly end: number;
}

/**
 * The probability of speech (0 to 1) for each 32 ms of a recording of 16 kHz.
 *
 * The model is bound once: its state goes in and comes out of two native tensors that swap places after every step.
 */
export async function speechProbabilities(session: InferenceSession, samples: Float32Array): Promise<Float32Array> {
  const native = { storage: "native" } as const;
  using input = Tensor.zeros("float32", [1, contextLength + stepLength], native);
  using state = Tensor.zeros("float32", [2, 1, 128], native);
  using nextState = Tensor.zeros("float32", [2, 1, 128], native);
  using sr = Tensor.zeros("int64", [], native);
  using output = Tensor.zeros("float32", [1, 1], native);
  using binding = session.bind({ input, state, sr }, { output, stateN: nextState });

  sr.data[0] = BigInt(sampleRate);
  const probabilities = new Float32Array(Math.ceil(samples.length / stepLength));
  for (let step = 0; step < probabilities.length; step++) {
    const at = step * stepLength;
    input.data.copyWithin(0, stepLength);
    input.data.fill(0, contextLength);
    input.data.set(samples.subarray(at, at + stepLength), contextLength);
    await binding.run();
    probabilities[step] = output.data[0];
    binding.swap("state", "stateN");
  }
  return probabilities;
}

/** When probabilities are speech; the defaults are Silero's own. */
export interface SegmentOptions {
  /** Speech begins at this probability. */
  readonly threshold?: number;
  /** Speech ends below this. */
  readonly release?: number;
  /** Pauses shorter than this, in seconds, do not end it. */
  readonly minimumSilence?: number;
  /** Speech shorter than this, in seconds, is none. */
  readonly minimumSpeech?: number;
}

/** Joins probabilities into stretches of speech. */
export function speechSegments(probabilities: Float32Array, options: SegmentOptions = {}): Segment[] {
  const { threshold = 0.5, release = 0.35, minimumSilence = 0.1, minimumSpeech = 0.25 } = options;
  const seconds = stepLength / sampleRate;
  const segments: Segment[] = [];
  let start: number | undefined;
  let silence: number | undefined;
  const close = (end: number) => {
    if (start !== undefined && end - start >= minimumSpeech) segments.push({ start, end });
    start = silence = undefined;
  };
  for (const [step, probability] of probabilities.entries()) {
    const now = step * seconds;
    if (probability >= threshold) {
      start ??= now;
      silence = undefined;
    } else if (start !== undefined && probability < release) {
      silence ??= now;
      if (now - silence >= minimumSilence) close(silence);
    }
  }
  close(silence ?? probabilities.length * seconds);
  return segments;
}
