const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function encode(value: number): number {
  float[0] = value;
  const word = bits[0]!, low = word & 0xffff;
  let high = word >>> 16;
  if ((word & 0x7fffffff) > 0x7f800000) return (high & 0x8000) | 0x7fc0;
  if (low > 0x8000) high++;
  else if (low === 0x8000) {
    // Half way as a float32: the number itself may lie to one side of it, and the even one wins only where it does not.
    const rounded = Math.abs(float[0]!), exact = Math.abs(value);
    if (exact > rounded || (exact === rounded && (high & 1) === 1)) high++;
  }
  return high;
}

function decode(high: number): number {
  bits[0] = high << 16;
  return float[0]!;
}

/**
 * The bits of numbers as bfloat16, the upper half of a float32: rounded to the nearest, ties to even. A NaN stays one,
 * and what is too large becomes infinite. An array is copied.
 *
 * @example
 * ```ts
 * import { Tensor, toBFloat16 } from "@coload/onnx";
 *
 * const tensor = Tensor.from(toBFloat16(new Float32Array([1, 2.5])), [2], "bfloat16");
 * console.log(tensor.data); // Uint16Array [ 16256, 16416 ]
 * ```
 */
export function toBFloat16(value: number): number;
/** The same of many, in a new array. */
export function toBFloat16(values: Float32Array | Float64Array | readonly number[]): Uint16Array<ArrayBuffer>;
export function toBFloat16(
  value: number | Float32Array | Float64Array | readonly number[],
): number | Uint16Array<ArrayBuffer> {
  if (typeof value === "number") return encode(value);
  const encoded = new Uint16Array(value.length);
  for (let i = 0; i < encoded.length; i++) encoded[i] = encode(value[i]!);
  return encoded;
}

/**
 * The numbers that bfloat16 bits stand for, exactly. An array is copied.
 *
 * @example
 * ```ts
 * import { fromBFloat16 } from "@coload/onnx";
 *
 * console.log(fromBFloat16(0x3f80)); // 1
 * ```
 */
export function fromBFloat16(bits: number): number;
/** The same of many, in a new array. */
export function fromBFloat16(bits: Uint16Array): Float32Array<ArrayBuffer>;
export function fromBFloat16(bits: number | Uint16Array): number | Float32Array<ArrayBuffer> {
  if (typeof bits === "number") return decode(bits);
  const decoded = new Float32Array(bits.length), words = new Uint32Array(decoded.buffer);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return decoded;
}
