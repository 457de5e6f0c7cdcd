import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { typeError } from "../../errors.ts";
import type { Handle } from "../../handle.ts";
import { Block } from "../../memory/block.ts";
import { check } from "../../ort/status.ts";
import { createTensorValue } from "../../ort/value.ts";
import type { Port } from "../../session/port.ts";
import type { SessionCore } from "../../session/session_core.ts";
import { elementByteLength } from "../../tensor/dtype.ts";
import { type ComputedOutput, readOutput } from "./answer.ts";
import type { Plan } from "./plan.ts";
import { releaseValue, valueHandle } from "./value_handle.ts";

/** Sequences of one client and model that are kept, at most: the one that was left for longest makes room for another. */
const MOST_SEQUENCES = 4096;

/** An input whose value an output of the run before is. */
interface StateVariable {
  readonly input: Port;
  readonly output: Port;
}

/** The state of one stream: one value for each variable. */
class Sequence implements Disposable {
  readonly #values: (Handle | undefined)[];
  readonly #zeros: Block[] = [];

  /** Starts with zeros. A dimension that the model leaves open has one element. */
  constructor(variables: readonly StateVariable[]) {
    this.#values = variables.map(({ input }) => {
      const shape = input.info.shape.map((size) => typeof size === "number" && size >= 0 ? size : 1);
      const byteLength = shape.reduce((product, size) => product * size, elementByteLength(input.dtype!));
      const block = new Block(Math.max(1, byteLength));
      new Uint8Array(block.buffer).fill(0);
      this.#zeros.push(block);
      return valueHandle(createTensorValue(block.pointer, byteLength, shape, input.elementType));
    });
  }

  address(variable: number): bigint {
    return this.#values[variable]!.address;
  }

  /** Takes a new value in, which it owns. */
  replace(variable: number, value: Pointer): void {
    releaseValue(this.#values[variable]);
    this.#values[variable] = valueHandle(value);
  }

  [Symbol.dispose](): void {
    this.#values.splice(0).forEach(releaseValue);
    this.#zeros.splice(0).forEach((block) => block.dispose());
  }
}

/** The streams of one client whose state a model's executor keeps. */
export class Sequences implements Disposable {
  readonly #core: SessionCore;
  readonly #variables: readonly StateVariable[];
  readonly #sequences = new Map<number, Sequence>();

  /** @param state outputs by the names of the inputs that they are the next values of @throws {TypeError} INVALID_ARGUMENT */
  constructor(core: SessionCore, state: Readonly<Record<string, string>>) {
    this.#core = core;
    this.#variables = stateVariables(core, state);
  }

  /**
   * Runs a request of a sequence: the state goes in, and what comes out is the next.
   *
   * @throws {TypeError} UNKNOWN_SEQUENCE for one that was not started, or is over; OrtError leaves the state as it was
   */
  run(plan: Plan, runOptions: Pointer): Disposable & { readonly computed: (ComputedOutput | undefined)[] } {
    const { id, start, end } = plan.request.sequence!, sequence = this.#find(id, start), { api } = this.#core;
    const ins = plan.inputs.length + this.#variables.length;
    const also = this.#variables.filter(({ output }) => !plan.outputs.some(({ port }) => port === output));
    const outs = plan.outputs.length + also.length,
      block = new Block(16 * (ins + outs)),
      values: (Pointer | undefined)[] = [];
    try {
      const words = new BigUint64Array(block.buffer, 0, 2 * (ins + outs)).fill(0n);
      plan.inputs.forEach(({ port, value }, i) => {
        words[i] = port.nameAddress;
        words[ins + i] = value.address;
      });
      this.#variables.forEach(({ input }, i) => {
        words[plan.inputs.length + i] = input.nameAddress;
        words[ins + plan.inputs.length + i] = sequence.address(i);
      });
      const ports = [...plan.outputs.map(({ port }) => port), ...also.map(({ output }) => output)];
      ports.forEach((port, i) => words[2 * ins + i] = port.nameAddress);
      const at = (word: number): Pointer => ffi.pointer(block.address + BigInt(word * 8))!;
      const [many, few] = [BigInt(ins), BigInt(outs)];
      const [inNames, inValues, outNames, outValues] = [at(0), at(ins), at(2 * ins), at(2 * ins + outs)];
      check(
        api.Run(this.#core.pointer, runOptions, inNames, inValues, many, outNames, few, outValues),
        "run the model",
      );
      ports.forEach((_, i) => values.push(ffi.pointer(words[2 * ins + outs + i]!)!));
      const computed = plan.outputs.map((output, i) => readOutput(output, values[i]!));
      this.#variables.forEach(({ output }, variable) => {
        const index = ports.indexOf(output);
        sequence.replace(variable, values[index]!);
        values[index] = undefined; // the sequence's now
      });
      const release = (): void => {
        values.forEach((value) => value && api.ReleaseValue(value));
        if (end) this.#end(id);
      };
      return { computed, [Symbol.dispose]: release };
    } catch (error) {
      values.forEach((value) => value && api.ReleaseValue(value));
      throw error;
    } finally {
      block.dispose();
    }
  }

  #find(id: number, start: boolean): Sequence {
    const before = this.#sequences.get(id);
    if (before === undefined && !start) {
      throw typeError("UNKNOWN_SEQUENCE", `Cannot go on with sequence ${id}: it was not started, or is over`);
    }
    const sequence = start ? new Sequence(this.#variables) : before!;
    if (start) this.#end(id);
    else this.#sequences.delete(id);
    this.#sequences.set(id, sequence); // the last of all
    if (this.#sequences.size > MOST_SEQUENCES) this.#end(this.#sequences.keys().next().value!);
    return sequence;
  }

  #end(id: number): void {
    this.#sequences.get(id)?.[Symbol.dispose]();
    this.#sequences.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#sequences.keys()]) this.#end(id);
  }
}

/** Resolves the names of state. @throws {TypeError} INVALID_ARGUMENT */
export function stateVariables(core: SessionCore, state: Readonly<Record<string, string>>): StateVariable[] {
  const outputs = Object.values(state), twice = outputs.find((name, i) => outputs.indexOf(name) !== i);
  if (twice !== undefined) {
    throw typeError("INVALID_ARGUMENT", `Cannot keep output "${twice}" as the state of two inputs`);
  }
  return Object.entries(state).map(([inputName, outputName]) => {
    const input = core.inputs.find(({ name }) => name === inputName);
    const output = core.outputs.find(({ name }) => name === outputName);
    const isState = input !== undefined && output !== undefined && input.dtype === output.dtype &&
      input.info.kind === "tensor" && output.info.kind === "tensor" && input.dtype !== "string" && input.dtype;
    if (isState) return { input, output };
    const message = `Cannot keep "${inputName}" as state from output "${outputName}": an input and an output of one ` +
      `numeric dtype wanted; the model has inputs ${core.inputs.map(({ name }) => name).join(", ")} and outputs ` +
      `${core.outputs.map(({ name }) => name).join(", ")}`;
    throw typeError("INVALID_ARGUMENT", message);
  });
}
