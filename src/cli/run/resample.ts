/** Zero crossings of the filter on either side of a sample. */
const CROSSINGS = 24;

/** Of what the lower of the two rates can hold, what is kept whole; the rest is where the filter falls off. */
const KEPT = 0.94;

/** A filter around a place between samples: what each of the samples around it counts for. */
interface Taps {
  /** Of the first sample, from the one at or before the place. */
  readonly first: number;
  readonly weights: Float64Array;
}

/** A sinc below a Hann window, whose weights are 1 together. @param fraction where the place is between two samples */
function tapsAt(fraction: number, cutoff: number): Taps {
  const reach = CROSSINGS / cutoff, first = Math.ceil(fraction - reach), last = Math.floor(fraction + reach);
  const weights = Float64Array.from({ length: last - first + 1 }, (_, k) => {
    const distance = first + k - fraction, angle = Math.PI * distance * cutoff;
    return (angle === 0 ? 1 : Math.sin(angle) / angle) * (0.5 + 0.5 * Math.cos(Math.PI * distance / reach));
  });
  const sum = weights.reduce((sum, weight) => sum + weight, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Samples at another rate, without the frequencies that it cannot hold; there is silence before and after them. */
export function resample(samples: Float32Array<ArrayBuffer>, from: number, to: number): Float32Array<ArrayBuffer> {
  if (from === to) return samples;
  const divisor = greatestDivisor(from, to), step = from / divisor, phases = to / divisor;
  const cutoff = KEPT * Math.min(1, to / from), taps: Taps[] = [];
  const resampled = new Float32Array(Math.ceil(samples.length * to / from));
  for (let i = 0, phase = 0, at = 0; i < resampled.length; i++) {
    const { first, weights } = taps[phase] ??= tapsAt(phase / phases, cutoff), start = at + first;
    const end = Math.min(weights.length, samples.length - start);
    let sum = 0;
    for (let k = Math.max(0, -start); k < end; k++) sum += samples[start + k]! * weights[k]!;
    resampled[i] = sum;
    phase += step;
    at += Math.floor(phase / phases);
    phase %= phases;
  }
  return resampled;
}
