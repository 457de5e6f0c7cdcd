import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { Handle } from "../../handle.ts";
import { Block } from "../../memory/block.ts";
import { ort } from "../../ort/environment.ts";
import { check } from "../../ort/status.ts";
import { createTensorValue, describeTensorValue, tensorData } from "../../ort/value.ts";
import { NativeError } from "../../errors.ts";
import { elementByteLength } from "../../tensor/dtype.ts";
import type { BatchAxes } from "../batch_axes.ts";
import { type Blocks, blocksOf } from "../batch_blocks.ts";
import type { ComputedOutput } from "./answer.ts";
import type { Plan } from "./plan.ts";
import { releaseValue } from "./value_handle.ts";

const views = new WeakMap<object, Uint8Array>();

/** An input's bytes where they lie. */
export function bytesOf(input: Plan["inputs"][number]): Uint8Array {
  let bytes = views.get(input);
  if (bytes === undefined) views.set(input, bytes = new Uint8Array(ffi.view(input.pointer!, input.byteLength)));
  return bytes;
}

/** An input of a batch: memory for all requests', with the value over it. */
interface Gathered {
  readonly block: Block;
  readonly bytes: Uint8Array;
  readonly value: Handle;
  /** `undefined` for what a batch has once. */
  readonly cut: Blocks | undefined;
}

/** Requests of one signature that run as one, so many of them. */
export class Batch implements Disposable {
  readonly #axes: BatchAxes;
  readonly #first: Plan;
  readonly #count: number;
  readonly #inputs: readonly Gathered[];
  readonly #block: Block;
  readonly #words: BigUint64Array;

  /** @param first any of the requests: the others have the same shapes. Its names are the session's. */
  constructor(axes: BatchAxes, first: Plan, count: number) {
    this.#axes = axes;
    this.#first = first;
    this.#count = count;
    this.#inputs = first.inputs.map(({ port, shape, byteLength }): Gathered => {
      const axis = axes.inputs[port.name]!, isJoined = axis !== "same";
      const all = isJoined ? shape.map((size, i) => i === axis ? size * count : size) : shape;
      const total = isJoined ? byteLength * count : byteLength, block = new Block(total);
      const value = createTensorValue(block.pointer, total, all, port.elementType);
      const release = ffi.pointer(ort().address("ReleaseValue"))!;
      return {
        block,
        bytes: new Uint8Array(block.buffer),
        value: new Handle("value", value, { release }),
        cut: isJoined ? blocksOf(shape, axis, elementByteLength(port.dtype!)) : undefined,
      };
    });
    const ins = this.#inputs.length, outs = first.outputs.length;
    this.#block = new Block(16 * (ins + outs));
    this.#words = new BigUint64Array(this.#block.buffer, 0, 2 * (ins + outs)).fill(0n);
    this.#inputs.forEach(({ value }, i) => {
      this.#words[i] = first.inputs[i]!.port.nameAddress;
      this.#words[ins + i] = value.address;
    });
    first.outputs.forEach(({ port }, i) => this.#words[2 * ins + i] = port.nameAddress);
  }

  /**
   * Runs the requests as one, and cuts what came out: by request, its outputs, of use until the result is disposed of.
   *
   * @throws {OrtError} @throws {NativeError} UNSUPPORTED where the outputs did not grow with the batch
   */
  run(plans: readonly Plan[], runOptions: Pointer): Disposable & { readonly outputs: ComputedOutput[][] } {
    this.#gather(plans);
    const { core } = this.#first, { api } = core, ins = this.#inputs.length, outs = this.#first.outputs.length;
    const at = (word: number): Pointer => ffi.pointer(this.#block.address + BigInt(word * 8))!;
    const [inNames, inValues, outNames, outValues] = [at(0), at(ins), at(2 * ins), at(2 * ins + outs)];
    this.#words.fill(0n, 2 * ins + outs);
    const [many, few] = [core.counts[ins]!, core.counts[outs]!];
    check(api.Run(core.pointer, runOptions, inNames!, inValues!, many, outNames!, few, outValues!), "run the model");
    const values = Array.from(this.#words.subarray(2 * ins + outs), (value) => ffi.pointer(value)!);
    const release = (): void => values.splice(0).forEach((value) => api.ReleaseValue(value));
    try {
      const byOutput = values.map((value, i) => this.#scatter(value, i));
      return { outputs: plans.map((_, k) => byOutput.map((parts) => parts[k]!)), [Symbol.dispose]: release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #gather(plans: readonly Plan[]): void {
    this.#inputs.forEach(({ bytes, cut }, i) => {
      if (cut === undefined) return bytes.set(bytesOf(plans[0]!.inputs[i]!));
      const { outer, inner } = cut;
      plans.forEach((plan, k) => {
        const source = bytesOf(plan.inputs[i]!);
        if (outer === 1) return bytes.set(source, k * inner);
        for (let block = 0; block < outer; block++) {
          bytes.set(source.subarray(block * inner, (block + 1) * inner), (block * this.#count + k) * inner);
        }
      });
    });
  }

  #scatter(value: Pointer, position: number): ComputedOutput[] {
    const { port } = this.#first.outputs[position]!, axis = this.#axes.outputs[port.name]!, count = this.#count;
    const found = describeTensorValue(value), total = found?.shape[axis];
    if (found === undefined || total === undefined || total % count !== 0 || found.elementType !== port.elementType) {
      const shape = `[${found?.shape.join(", ")}]`;
      throw new NativeError("UNSUPPORTED", `Cannot cut output "${port.name}" of shape ${shape} into ${count} parts`);
    }
    const shape = Object.freeze(found.shape.map((size, i) => i === axis ? size / count : size));
    const elementBytes = elementByteLength(port.dtype!), { outer, inner } = blocksOf(shape, axis, elementBytes);
    const all = found.size === 0 ? new Uint8Array(0) : new Uint8Array(
      ffi.view(tensorData(value)!, found.size * elementBytes),
    );
    return Array.from({ length: count }, (_, k) => ({
      elementType: found.elementType,
      shape,
      byteLength: outer * inner,
      write(target: Uint8Array): void {
        for (let block = 0; block < outer; block++) {
          const start = (block * count + k) * inner;
          target.set(all.subarray(start, start + inner), block * inner);
        }
      },
    }));
  }

  [Symbol.dispose](): void {
    for (const { block, value } of this.#inputs) {
      releaseValue(value);
      block.dispose();
    }
    this.#block.dispose();
  }
}
