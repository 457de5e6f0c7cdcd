import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { Block } from "../memory/block.ts";
import { ort } from "./environment.ts";
import { check } from "./status.ts";

/** A run as C takes it: values in, values out, on a native thread. */
export interface RawRun {
  readonly session: Pointer;
  /** `OrtValue *` by the names of the inputs. They stay the caller's, and must live until the run is over. */
  readonly inputs: ReadonlyMap<string, Pointer>;
  readonly outputs: readonly string[];
  readonly runOptions?: Pointer;
}

/** Runs a session, and resolves with new `OrtValue *` in the order of the outputs' names. @throws {OrtError} */
export async function rawRun({ session, inputs, outputs, runOptions }: RawRun): Promise<Pointer[]> {
  const names = [...inputs.keys(), ...outputs].map(cstring), counts = [inputs.size, outputs.length] as const;
  const words = 2 * names.length, block = new Block(names.reduce((sum, { length }) => sum + length, words * 8));
  try {
    const bytes = new Uint8Array(block.buffer), pointers = new BigUint64Array(block.buffer, 0, words);
    pointers.fill(0n); // C writes results where it finds none
    let at = words * 8;
    names.forEach((name, i) => {
      bytes.set(name, at);
      pointers[i] = block.address + BigInt(at);
      at += name.length;
    });
    [...inputs.values()].forEach((value, i) => pointers[names.length + i] = ffi.address(value));
    const word = (index: number): bigint => block.address + BigInt(index * 8);
    const [inputNames, outputNames] = [word(0), word(counts[0])];
    const [inputValues, outputValues] = [word(names.length), word(names.length + counts[0])];
    const [many, few] = counts.map(BigInt) as [bigint, bigint];
    const options = runOptions === undefined ? 0n : ffi.address(runOptions);
    const args = [ffi.address(session), options, inputNames, inputValues, many, outputNames, few, outputValues];
    check(ffi.pointer(await callNative("run", ort().address("Run"), args)), "run the model");
    return Array.from(pointers.slice(names.length + counts[0]), (value) => ffi.pointer(value)!);
  } finally {
    block.dispose();
  }
}
