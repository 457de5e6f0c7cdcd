import { NativeError, OrtError } from "../errors.ts";
import { operatorsOf } from "../ort/model_scan.ts";

/** Thrown when a model can be run, and its weights cannot be shared; it is kept in the cache, so as not to be tried again. */
export class Refused extends Error {}

/** Operators whose weights are laid out anew at each run unless they are prepacked: up to 39 times slower. */
const QUANTIZED = /^(?:Q[A-Z]|MatMulNBits|MatMulInteger|ConvInteger|DynamicQuantize|MatMulBnb4|GatherBlockQuantized)/;
/** Characters of onnxruntime's own words that are kept. */
const MAX_REASON_LENGTH = 500;

/** @throws {Refused} for a model that must not be mapped as it is */
export function refuseQuantized(model: string): void {
  let operators: ReadonlySet<string>;
  try {
    operators = operatorsOf(model);
  } catch (error) {
    throw new Refused(`its operators cannot be told: ${(error as Error).message}`);
  }
  const found = [...operators].find((name) => QUANTIZED.test(name));
  if (found) throw new Refused(`${found} computes many times slower on weights that are not prepacked`);
}

/** What onnxruntime says when a file could not be written or read. */
const ABOUT_FILES = /ToGraphProto|write|No space|quota|Input\/output/i;
/** What it says, also of a model that is good, when the system had no more threads, memory or descriptors to give. */
const ABOUT_RESOURCES =
  /pthread_create|bad_alloc|Failed to allocate|Cannot allocate|Resource temporarily unavailable|Too many open files/i;

/** Why a model's weights will never be shared, as far as the words of an error tell; `undefined` where it may pass. */
export function lastingReason(error: unknown): string | undefined {
  if (error instanceof Refused) return error.message;
  if (error instanceof NativeError && error.code === "NOT_SHAREABLE") return error.message;
  if (!(error instanceof OrtError)) return undefined;
  const { code, message } = error, words = message.split("\n")[0]!.slice(0, MAX_REASON_LENGTH);
  const isModel = code === "MODEL_INVALID" || code === "MODEL_UNSUPPORTED" || code === "ORT_NOT_IMPLEMENTED";
  if (!isModel || ABOUT_FILES.test(message) || ABOUT_RESOURCES.test(message)) return undefined;
  return `onnxruntime cannot load a copy: ${words}`;
}
