import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import process from "node:process";
import { buffer } from "node:stream/consumers";
import { SystemError, typeError } from "../../errors.ts";
import { unlessAborted } from "../../ort/unless_aborted.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Flags } from "./flags.ts";
import { decodeJson, type JsonElements } from "./json.ts";
import { decodeNpy } from "./npy.ts";
import { decodePicture, type Picture } from "./picture.ts";
import { decodeSound, type Sound } from "./sound.ts";

/** What an input is fed from, before it is known what the model wants. */
export type Content =
  | { readonly kind: "zeros" }
  | { readonly kind: "tensor"; readonly tensor: Tensor }
  | { readonly kind: "json"; readonly elements: JsonElements }
  | { readonly kind: "sound"; readonly sound: Sound }
  | { readonly kind: "picture"; readonly picture: Picture };

type Format = "npy" | "json" | "wav" | "picture";

const EXTENSIONS: Readonly<Record<string, Format>> = {
  ".npy": "npy",
  ".json": "json",
  ".wav": "wav",
  ".png": "picture",
  ".jpg": "picture",
  ".jpeg": "picture",
};

const STARTS: readonly (readonly [start: readonly number[], format: Format])[] = [
  [[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], "npy"],
  [[0x52, 0x49, 0x46, 0x46], "wav"],
  [[0x89, 0x50, 0x4e, 0x47], "picture"],
  [[0xff, 0xd8], "picture"],
];

/** What begins as JSON does: an array, an object, a string, a number or a boolean. */
const LITERAL = /^(?:[[{"]|-?[0-9][0-9.eE+-]*$|(?:true|false)$)/;

/** Standard input as a file. */
export const STDIN = "-";

function formatOf(path: string, bytes: Uint8Array): Format {
  if (path === STDIN) return STARTS.find(([start]) => start.every((byte, i) => bytes[i] === byte))?.[1] ?? "json";
  return EXTENSIONS[extname(path).toLowerCase()]!;
}

/** @throws {TypeError} INVALID_ARGUMENT for a file of another name than those that can be read have */
function checkExtension(path: string): void {
  if (path === STDIN || Object.hasOwn(EXTENSIONS, extname(path).toLowerCase())) return;
  const known = Object.keys(EXTENSIONS).join(", ");
  throw typeError("INVALID_ARGUMENT", `Cannot read ${path}: a file that ends in ${known} wanted, - or a JSON literal`);
}

async function bytesOf(path: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  if (path === STDIN) return await unlessAborted(buffer(process.stdin) as Promise<Uint8Array<ArrayBuffer>>, signal);
  try {
    return await readFile(path, { signal }) as Uint8Array<ArrayBuffer>;
  } catch (cause) {
    signal.throwIfAborted();
    const { code, message } = cause as { code?: string; message: string };
    throw new SystemError("SYSTEM", `Cannot read ${path}: ${code === "ENOENT" ? "there is no such file" : message}`, {
      cause,
    });
  }
}

/** What messages call a source. */
export function nameOf(text: string): string {
  return text === STDIN ? "standard input" : LITERAL.test(text) ? "the literal" : text;
}

/**
 * Reads what an input is fed from: a file, `-` for standard input, a JSON literal, or `zeros`.
 *
 * @throws {TypeError} INVALID_BYTES when it is not what its name says
 * @throws {TypeError} INVALID_ARGUMENT when its name says nothing
 */
export async function readContent(text: string, flags: Flags, signal: AbortSignal): Promise<Content> {
  const from = nameOf(text);
  if (text === "zeros") return { kind: "zeros" };
  if (LITERAL.test(text)) return { kind: "json", elements: decodeJson(text, from) };
  checkExtension(text);
  const bytes = await bytesOf(text, signal);
  switch (formatOf(text, bytes)) {
    case "npy":
      return { kind: "tensor", tensor: decodeNpy(bytes, from) };
    case "json":
      return { kind: "json", elements: decodeJson(new TextDecoder().decode(bytes), from) };
    case "wav":
      return { kind: "sound", sound: decodeSound(bytes, flags, from) };
    case "picture":
      return { kind: "picture", picture: decodePicture(bytes, from) };
  }
}
