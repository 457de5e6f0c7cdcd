import { type Fields, readFields } from "./fields.ts";
import { isDeeperThan, quoteLongIntegers } from "./json_text.ts";
import { badRequest, shorten } from "./oip_error.ts";

/** How deep arrays and objects of a JSON text may lie in each other. */
const MOST_DEPTH = 100;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** A body, taken apart. */
export interface WireDocument {
  /** Which one, as messages name it. */
  readonly what: string;
  /** Its JSON. */
  readonly fields: Fields;
  /** What follows the JSON. */
  readonly binary: Uint8Array<ArrayBuffer>;
  /** Its JSON again, with the whole numbers that a double may not hold as strings. Computed at the first call. */
  exactFields(): Fields;
}

function decodeText(what: string, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw badRequest(`Cannot read ${what}: its JSON is not UTF-8`, { cause });
  }
}

function parse(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const hint = /\b(?:NaN|Infinity)\b/.test(text)
      ? "; NaN and Infinity are sent as binary data, binary_data_size"
      : "";
    throw badRequest(`Cannot read ${what}: it is not JSON: ${shorten((cause as Error).message)}${hint}`, { cause });
  }
}

/**
 * Takes a body apart, and borrows it.
 *
 * @param headerLength bytes of the JSON; all of them without
 * @throws {OipError} 400
 */
export function readDocument(
  what: string,
  body: Uint8Array<ArrayBuffer>,
  headerLength: number = body.length,
): WireDocument {
  if (!Number.isSafeInteger(headerLength) || headerLength < 0 || headerLength > body.length) {
    throw badRequest(`Cannot read ${what}: a header of ${headerLength} bytes in a body of ${body.length}`);
  }
  const text = decodeText(what, body.subarray(0, headerLength));
  if (isDeeperThan(MOST_DEPTH, text)) {
    throw badRequest(`Cannot read ${what}: its JSON is nested more than ${MOST_DEPTH} deep`);
  }
  const fields = readFields(what, parse(what, text));
  let exact: Fields | undefined;
  return {
    what,
    fields,
    binary: body.subarray(headerLength),
    exactFields: () => exact ??= parse(what, quoteLongIntegers(text)) as Fields,
  };
}
