import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { MemoryError, NativeError, typeError } from "../errors.ts";
import { ort } from "../ort/environment.ts";
import { type ModelMetadata, readModelMetadata } from "../ort/model_metadata.ts";
import { rawRun } from "../ort/raw_run.ts";
import { describeValues, dtypeName, type ValueInfo } from "../ort/type_info.ts";
import { describeTensorValue, tensorData, tensorStrings } from "../ort/value.ts";
import { arrayOf, elementByteLength, isDType, type NumericDType } from "../tensor/dtype.ts";
import { fromBFloat16 } from "../tensor/bfloat16.ts";
import { type FeedPlan, hasOpenDimension, MadeUpFeeds, whyNotFed } from "./feeds.ts";

/** A run that both the model and its copy can do. */
export type Trial = FeedPlan;

/** A tensor that came out of a run. */
interface Output {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer> | readonly string[];
}

/** What a session says and does. */
export interface Behaviour {
  readonly values: readonly (readonly ValueInfo[])[];
  readonly metadata: ModelMetadata;
  /** What came out of each trial. */
  readonly outputs: readonly (readonly Output[])[];
}

/** What open dimensions are tried as, the first that works; then 1, for which other code computes. */
const SIZES = [8, 32, 64, 224, 640, 4, 3, 2];
/** Of an output's largest number: what another order of summing may change. */
const TOLERANCE = 1e-3, COARSE_TOLERANCE = 2e-2;

function describe(session: Pointer): Pick<Behaviour, "values" | "metadata"> {
  const values = (["Input", "Output", "OverridableInitializer"] as const).map((of) => describeValues(session, of));
  return { values, metadata: readModelMetadata(session) };
}

function read(name: string, value: Pointer): Output | undefined {
  const found = describeTensorValue(value);
  if (found === undefined) return undefined;
  const { elementType, shape, size } = found, dtype = dtypeName(elementType);
  if (dtype === "string") return { name, dtype, shape, data: tensorStrings(value, size) };
  if (!isDType(dtype)) return undefined;
  const byteLength = size * elementByteLength(dtype);
  const data = byteLength === 0 ? new Uint8Array(0) : new Uint8Array(ffi.view(tensorData(value)!, byteLength)).slice();
  return { name, dtype, shape, data };
}

async function runTrial(
  session: Pointer,
  inputs: readonly ValueInfo[],
  names: readonly string[],
  trial: Trial,
): Promise<Output[]> {
  using feeds = await MadeUpFeeds.filled(inputs, trial);
  const values = await rawRun({ session, inputs: feeds.values, outputs: names });
  try {
    return values.flatMap((value, i) => read(names[i]!, value) ?? []);
  } finally {
    for (const value of values) ort().api.ReleaseValue(value);
  }
}

const namesOf = (values: readonly ValueInfo[]): string[] =>
  values.filter(({ kind }) => kind === "tensor").map(({ name }) => name);

/** What a session does in these trials. @throws {OrtError} */
export async function behaviourOf(
  session: Pointer,
  trials: readonly Trial[],
  signal: AbortSignal | undefined,
): Promise<Behaviour> {
  const { values, metadata } = describe(session), [inputs, outputs] = values;
  const found: Output[][] = [];
  for (const trial of trials) {
    signal?.throwIfAborted();
    found.push(await runTrial(session, inputs!, namesOf(outputs!), trial));
  }
  return { values, metadata, outputs: found };
}

/**
 * Looks for runs that a model can do, with sizes and numbers that are made up.
 *
 * @param dimensions sizes of open dimensions, by their names, where the user knows better
 * @returns the runs, or why there are none
 */
export async function findTrials(
  session: Pointer,
  dimensions: FeedPlan["dimensions"],
  signal: AbortSignal | undefined,
): Promise<Trial[] | string> {
  const [inputs, outputs] = describe(session).values, odd = whyNotFed(inputs!);
  if (odd !== undefined) return odd;
  const unknown = Object.keys(dimensions).find((name) => !inputs!.some(({ shape }) => shape.includes(name)));
  if (unknown !== undefined) {
    const known = [...new Set(inputs!.flatMap(({ shape }) => shape.filter((size) => typeof size === "string")))];
    const wanted = known.length > 0 ? known.join(", ") : "none";
    throw typeError("INVALID_ARGUMENT", `Cannot set dimension "${unknown}": the model's open dimensions are ${wanted}`);
  }
  const names = namesOf(outputs!);
  if (names.length === 0) return "none of its outputs is a tensor";
  let problem = "", lack: MemoryError | undefined;
  const numbers = inputs!.some(({ dtype }) => /^u?int(16|32|64)$|^bool$/.test(dtype)) ? [1, 0] as const : [1] as const;
  const working = async (size: number): Promise<Trial[]> => {
    const found: Trial[] = [];
    for (const integers of numbers) {
      signal?.throwIfAborted();
      try {
        const trial = { size, integers, dimensions };
        await runTrial(session, inputs!, names, trial);
        found.push(trial);
      } catch (error) {
        if (!(error instanceof NativeError || error instanceof RangeError)) throw error;
        problem ||= error.message;
        if (error instanceof MemoryError) lack = error;
      }
    }
    return found;
  };
  const trials: Trial[] = [], sizes = hasOpenDimension(inputs!, dimensions) ? SIZES : [];
  for (let i = 0; i < sizes.length && trials.length === 0; i++) trials.push(...await working(sizes[i]!));
  trials.push(...await working(1));
  if (trials.length > 0) return trials;
  if (lack !== undefined) throw lack; // which may be otherwise the next time
  return `no run with made-up inputs works: ${problem}`;
}

/** Elements that are compared without giving the event loop its turn. */
const AT_ONCE = 1 << 20;

/**
 * Where two sessions differ; `undefined` where they do not.
 *
 * @param exact whether to the bit, or but for the order of summing
 */
export async function firstDifference(
  wanted: Behaviour,
  found: Behaviour,
  exact: boolean,
): Promise<string | undefined> {
  if (JSON.stringify(wanted.values) !== JSON.stringify(found.values)) return "its inputs or outputs are others";
  if (text(wanted.metadata) !== text(found.metadata)) return "its metadata is another";
  for (const [trial, outputs] of wanted.outputs.entries()) {
    for (const [i, output] of outputs.entries()) {
      const other = found.outputs[trial]![i];
      if (other === undefined || !await agree(output, other, exact)) return `its output "${output.name}" differs`;
    }
  }
  return undefined;
}

/** Metadata as text: its own keys come in any order. */
const text = ({ custom, version, ...rest }: ModelMetadata): string =>
  JSON.stringify([Object.entries(custom).sort(([a], [b]) => a < b ? -1 : 1), `${version}`, rest]);

async function agree(a: Output, b: Output, exact: boolean): Promise<boolean> {
  if (a.dtype !== b.dtype || JSON.stringify(a.shape) !== JSON.stringify(b.shape)) return false;
  if (!(a.data instanceof Uint8Array) || !(b.data instanceof Uint8Array)) {
    return JSON.stringify(a.data) === JSON.stringify(b.data);
  }
  if (Buffer.compare(a.data, b.data) === 0) return true;
  if (exact || !/float/.test(a.dtype)) return false;
  const x = numbers(a.dtype, a.data), y = numbers(b.dtype, b.data);
  let largest = 0;
  for (const value of x) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  const most = largest * (/16/.test(a.dtype) ? COARSE_TOLERANCE : TOLERANCE);
  for (let i = 0; i < x.length; i++) {
    if (i % AT_ONCE === AT_ONCE - 1) await turn();
    if (!Object.is(x[i], y[i]) && !(Math.abs(x[i]! - y[i]!) <= most)) return false;
  }
  return true;
}

/** Whether what came out can tell one model from another: there is a number, or a text, in it. */
export function isTelling({ outputs }: Behaviour): boolean {
  return outputs.flat().some(({ dtype, data }) => {
    if (!(data instanceof Uint8Array) || !/float/.test(dtype)) return data.length > 0;
    return numbers(dtype, data).some(Number.isFinite);
  });
}

/** The numbers of a tensor of floats. */
function numbers(dtype: string, { buffer, byteLength }: Uint8Array<ArrayBuffer>): Float32Array | Float64Array {
  const array = arrayOf(dtype as NumericDType), length = byteLength / array.BYTES_PER_ELEMENT;
  const data = new array(buffer, 0, length) as unknown as Float32Array | Float16Array | Uint16Array;
  if (dtype === "bfloat16") return fromBFloat16(data as Uint16Array);
  return dtype === "float16" ? Float32Array.from(data) : data as Float32Array;
}

/** The SHA-256 of what came out of a session's trials. */
export function digestOutputs({ outputs }: Behaviour): string {
  const hash = createHash("sha256");
  for (const { name, dtype, shape, data } of outputs.flat()) {
    hash.update(JSON.stringify([name, dtype, shape, data instanceof Uint8Array ? data.length : data]));
    if (data instanceof Uint8Array) hash.update(data);
  }
  return hash.digest("hex");
}
