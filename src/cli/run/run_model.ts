import { typeError } from "../../errors.ts";
import type { Model } from "../../session/inference_session.ts";
import type { Tensors } from "../../session/tensors.ts";
import { isDType } from "../../tensor/dtype.ts";
import { Interrupts } from "../interrupts.ts";
import { describeModel, modelJson } from "./describe_model.ts";
import type { Flags } from "./flags.ts";
import { readInputs, soundTensor } from "./inputs.ts";
import { encodeJson } from "./json.ts";
import { checkNpy } from "./npy.ts";
import { openModel } from "../open_model.ts";
import { checkOutputFiles, isNpy, writeOutput } from "./output_files.ts";
import { firstValues, summarize, topScores } from "./summary.ts";
import { checkDimensions } from "./wanted.ts";
import { checkState, runWindows, Stack, type WindowResult } from "./windows.ts";

/** Exit code for a command line that does not say enough. */
const USAGE = 2;

/** The outputs that are shown: those asked for, or all that are tensors but for what is fed back. */
function shownOutputs({ outputs }: Model, flags: Flags): string[] {
  const known = outputs.map(({ name }) => name), asked = [...flags.output?.keys() ?? []];
  for (const [name, path] of flags.output ?? []) {
    const output = outputs.find((output) => output.name === name);
    if (output === undefined) {
      throw typeError("INVALID_ARGUMENT", `Cannot fetch output "${name}": the model's outputs are ${known.join(", ")}`);
    }
    if (path !== undefined && isNpy(path)) checkNpy(output.dtype, name);
  }
  if (asked.length > 0) return asked;
  const states = [...flags.state?.values() ?? []];
  const shown = outputs.filter(({ name, kind, dtype }) =>
    kind === "tensor" && isDType(dtype) && !states.includes(name)
  );
  return shown.map(({ name }) => name);
}

function outputsJson(outputs: Tensors, names: readonly string[], top: number | undefined): string {
  const members = names.map((name) => {
    const tensor = outputs[name]!, scores = top === undefined ? undefined : topScores(tensor, top);
    const more = scores === undefined ? "" : `,"top":${JSON.stringify(scores)}`;
    return `${JSON.stringify(name)}:${[...encodeJson(tensor)].join("").slice(0, -1)}${more}}`;
  });
  return `{${members.join(",")}}`;
}

function windowLine({ index, start, outputs }: WindowResult, names: readonly string[], { json, top }: Flags): string {
  if (json) return `{"window":${index},"start":${start},"outputs":${outputsJson(outputs, names, top)}}`;
  const values = names.map((name) => `${name} ${firstValues(outputs[name]!)}`);
  return [`${start.toFixed(3).padStart(9)} s`, ...values].join("  ");
}

async function runOnce(model: Model, file: string | undefined, flags: Flags, signal: AbortSignal): Promise<void> {
  const names = shownOutputs(model, flags), { feeds, sounds } = await readInputs(model.inputs, file, flags, signal);
  const all = { ...feeds, ...Object.fromEntries(sounds.map((given) => [given.wanted.name, soundTensor(given)])) };
  const start = performance.now();
  using outputs = await model.run(all, { outputs: names, signal });
  const milliseconds = performance.now() - start;
  if (flags.json) console.log(outputsJson(outputs, names, flags.top));
  else console.log(`${summarize(outputs, names, flags.top)}\n\nran in ${milliseconds.toFixed(1)} ms`);
  for (const [name, path] of flags.output ?? []) {
    if (path !== undefined) await writeOutput(path, outputs[name]!, name, flags.force ?? false);
  }
}

async function runOver(model: Model, file: string | undefined, flags: Flags, signal: AbortSignal): Promise<void> {
  checkState(model, flags.state);
  const names = shownOutputs(model, flags), { feeds, sounds } = await readInputs(model.inputs, file, flags, signal);
  if (sounds.length !== 1) {
    throw typeError("INVALID_ARGUMENT", `Cannot run window by window: one sound wanted, ${sounds.length} found`);
  }
  const files = [...flags.output ?? []].filter(([, path]) => path !== undefined) as [name: string, path: string][];
  const stacks = files.map(([name, path]) => ({ name, path, stack: new Stack(name) }));
  const outputs = [...new Set([...names, ...flags.state?.values() ?? []])];
  const options = { ...flags, window: flags.window!, outputs };
  for await (const result of runWindows(model, sounds[0]!, feeds, options, signal)) {
    console.log(windowLine(result, names, flags));
    for (const { name, stack } of stacks) stack.add(result.outputs[name]!);
  }
  for (const { name, path, stack } of stacks) await writeOutput(path, stack.tensor(), name, flags.force ?? false);
}

/** Runs a model on files and literals, or says what it wants. @returns the exit code: 2 when nothing is given to it */
export async function runModel(name: string, file: string | undefined, flags: Flags): Promise<number> {
  using interrupts = new Interrupts();
  const { signal } = interrupts;
  checkOutputFiles(flags.output?.values() ?? [], flags.force ?? false);
  const model = await openModel({ model: name, endpoint: flags.endpoint, version: flags.modelVersion }, signal);
  try {
    if (flags.describe) {
      console.log(flags.json ? modelJson(name, model) : describeModel(model));
      return 0;
    }
    if (file === undefined && flags.input === undefined && model.inputs.length > 0) {
      console.error(`${describeModel(model)}\n\ncoload: no inputs are given (--help says more)`);
      return USAGE;
    }
    checkDimensions(model.inputs, flags.dim);
    await (flags.window === undefined ? runOnce : runOver)(model, file, flags, signal);
    return 0;
  } finally {
    if (!signal.aborted) await model[Symbol.asyncDispose](); // which would wait for what is to be stopped
  }
}
