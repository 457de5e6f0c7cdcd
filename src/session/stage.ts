import { ffi } from "../../ffi/mod.ts";
import { Handle } from "../handle.ts";
import { Block } from "../memory/block.ts";
import { ort } from "../ort/environment.ts";
import { createTensorValue } from "../ort/value.ts";
import { equalShapes } from "../tensor/shape.ts";
import { arrayOf, type NumericData, type NumericDType, onnxElementType } from "../tensor/dtype.ts";

/**
 * Native memory for one input or output of a run, with the OrtValue over it, used again by the next run: copying a
 * small tensor is cheaper than making a value for it, and what is copied cannot be transferred away while C reads it.
 */
export class Stage {
  readonly #dtype: NumericDType;
  #block: Block;
  #value: Handle | undefined;
  #shape: readonly number[] | undefined;
  #byteLength = 0;
  #data: NumericData | undefined;

  /** @param byteLength bytes to begin with; it grows */
  constructor(dtype: NumericDType, byteLength: number) {
    this.#dtype = dtype;
    this.#block = new Block(byteLength);
  }

  /** The staged tensor's elements. */
  get data(): NumericData {
    return this.#data ??= this.#elements();
  }

  #elements(): NumericData {
    const constructor = arrayOf(this.#dtype);
    return new constructor(this.#block.buffer, 0, this.#byteLength / constructor.BYTES_PER_ELEMENT);
  }

  /** The OrtValue over it, once made. */
  get value(): Handle | undefined {
    return this.#value;
  }

  /** Bytes of native memory held. */
  get capacity(): number {
    return this.#block.byteLength;
  }

  /** The OrtValue, for a tensor of this shape. */
  fit(shape: readonly number[], byteLength: number): Handle {
    if (shape === this.#shape) return this.#value!;
    if (!equalShapes(this.#shape, shape)) this.#make(shape, byteLength);
    this.#shape = shape;
    return this.#value!;
  }

  #make(shape: readonly number[], byteLength: number): void {
    this.#releaseValue();
    if (byteLength > this.#block.byteLength) {
      const larger = new Block(byteLength);
      this.#block.dispose();
      this.#block = larger;
    }
    const value = createTensorValue(this.#block.pointer, byteLength, shape, onnxElementType(this.#dtype));
    this.#value = new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });
    this.#byteLength = byteLength;
    this.#data = undefined;
  }

  #releaseValue(): void {
    this.#shape = undefined;
    const value = this.#value?.take();
    if (value) ort().api.ReleaseValue(value);
  }

  /** Releases the value and its memory. */
  dispose(): void {
    this.#releaseValue();
    this.#block.dispose();
  }
}
