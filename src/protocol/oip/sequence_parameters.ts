import { type Fields, isThere, readFlag } from "./fields.ts";
import { badRequest, showValue } from "./oip_error.ts";

/** The most characters of a sequence's name, as Triton has it. */
const MOST_CHARACTERS = 128;

/** A request's place in a sequence, whose state the server keeps. */
export interface SequencePlace {
  /** Which one, of all clients': a number and the same as a text are two. */
  readonly id: number | string;
  readonly start: boolean;
  readonly end: boolean;
}

/** Takes in which sequence a request is of; `undefined` for one that stands alone. @throws {OipError} 400 */
export function readSequence(what: string, parameters: Fields): SequencePlace | undefined {
  const { sequence_id: id, sequence_start, sequence_end } = parameters;
  const start = readFlag(what, "sequence_start", sequence_start) ?? false;
  const end = readFlag(what, "sequence_end", sequence_end) ?? false;
  if (!isThere(id) || id === 0 || id === "") {
    if (!start && !end) return undefined;
    throw badRequest(`Cannot read ${what}: ${start ? "sequence_start" : "sequence_end"} without a sequence_id`);
  }
  const isId = typeof id === "string" ? id.length <= MOST_CHARACTERS : Number.isSafeInteger(id) && (id as number) > 0;
  if (isId) return { id: id as number | string, start, end };
  const wanted = `a whole number below 2^53, or a string of up to ${MOST_CHARACTERS} characters`;
  throw badRequest(`Cannot read ${what}: ${wanted}, wanted as sequence_id, ${showValue(id)} found`);
}

/** The same as it is sent. */
export function sequenceParameters({ id, start, end }: SequencePlace): Fields {
  return { sequence_id: id, sequence_start: start, sequence_end: end };
}
