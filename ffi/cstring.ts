const encoder = new TextEncoder();

/**
 * A NUL-terminated UTF-8 copy of a string.
 *
 * @throws {TypeError} when the text itself holds a NUL, where C would end it early.
 */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError(`Cannot pass ${JSON.stringify(text)} to C: it holds a NUL character`);
  return encoder.encode(`${text}\0`);
}
