const encoder = new TextEncoder();

/**
 * A NUL-terminated UTF-8 copy of a string.
 *
 * @throws {TypeError} with code `INVALID_ARGUMENT` when the text itself holds a NUL, where C would end it early.
 */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    const message = `Cannot pass ${JSON.stringify(text)} to C: it holds a NUL character`;
    throw Object.assign(new TypeError(message), { code: "INVALID_ARGUMENT" });
  }
  return encoder.encode(`${text}\0`);
}
