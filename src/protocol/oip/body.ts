/** A request or a response as it is sent. */
export interface EncodedBody {
  /** Bytes of its JSON, where more follow it. */
  readonly headerLength: number | undefined;
  /** The JSON, then each binary tensor, borrowed from it. */
  readonly parts: readonly Uint8Array[];
}

/** Bytes of the largest element. */
const ALIGNMENT = 8;
const encoder = new TextEncoder();

/** Puts a body together. Spaces after the JSON align the first binary tensor, so that it can be read where it lies. */
export function encodeBody(text: string, binary: readonly Uint8Array[]): EncodedBody {
  const json = encoder.encode(text);
  if (binary.length === 0) return { headerLength: undefined, parts: [json] };
  const padded = new Uint8Array(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT).fill(0x20, json.length);
  padded.set(json);
  return { headerLength: padded.length, parts: [padded, ...binary] };
}

/** Pieces in one array that nothing else shares. */
export function joinParts(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
