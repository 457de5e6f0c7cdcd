/** Numbers to feed models with. */
import { Tensor } from "../../mod.ts";

/** A tensor of numbers from -1 to 1, the same ones for a seed each time. */
export function noise(shape: readonly number[], seed: number): Tensor<"float32"> {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = Math.imul(state, 1664525) + 1013904223 | 0; // a linear congruential generator, by its upper bits
    data[i] = state / 2 ** 31;
  }
  return Tensor.from(data, shape);
}
