import { dirname, resolve } from "node:path";
import { type FileIdentity, fileIdentity, OpenFile, realPath } from "../../ffi/files.ts";

/** The files beside a model that hold its weights. */
export interface ExternalData {
  /** Another once one of them was written to; empty where there are none. */
  readonly key: string;
  readonly byteLength: number;
}

/** Protobuf fields, by the messages of onnx.proto. */
const MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, GRAPH_SPARSE_INITIALIZER = 15, SPARSE_VALUES = 1, SPARSE_INDICES = 2;
const TENSOR_EXTERNAL_DATA = 13, ENTRY_KEY = 1, ENTRY_VALUE = 2;
const VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5;

const WINDOW = 4096, MAX_TEXT = 4096;
/** Fields after which a file is taken for none that a model is made of. */
const MAX_FIELDS = 1 << 22;
/** Models whose external data a thread remembers. */
const MAX_KNOWN = 16384;

const known = new Map<string, readonly string[]>();
const none: ExternalData = { key: "", byteLength: 0 };

type Fields = Readonly<Record<number, (end: number) => void>>;

/** Skips through a protobuf file, reading only the fields that are asked for. */
class Scanner {
  readonly #file: OpenFile;
  readonly #window = new Uint8Array(WINDOW);
  #start = 0;
  #length = 0;
  #at = 0;
  #fields = 0;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  #byte(): number {
    const index = this.#at - this.#start;
    if (index >= 0 && index < this.#length) return this.#at++, this.#window[index]!;
    this.#start = this.#at;
    this.#length = this.#file.read(this.#window, this.#at);
    if (this.#length === 0) throw new RangeError("the file ends too early");
    return this.#at++, this.#window[0]!;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 1, i = 0; i < 10; i++, shift *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
    throw new RangeError("a number is too long");
  }

  /** Goes through a message that ends there, and has the fields of these numbers looked into. */
  message(end: number, fields: Fields): void {
    while (this.#at < end) {
      if (++this.#fields > MAX_FIELDS) throw new RangeError("too many fields");
      const tag = this.#varint(), type = tag % 8;
      if (type === VARINT) this.#varint();
      else if (type === FIXED64) this.#at += 8;
      else if (type === FIXED32) this.#at += 4;
      else if (type === LENGTH_DELIMITED) {
        const next = this.#varint() + this.#at;
        if (next > end) throw new RangeError("a field ends after its message");
        fields[(tag - type) / 8]?.(next);
        this.#at = next;
      } else throw new RangeError("a field of no known type");
    }
    if (this.#at > end) throw new RangeError("a field ends after its message");
  }

  /** The text that ends there; empty when it is too long for a path. */
  text(end: number): string {
    const byteLength = end - this.#at, bytes = new Uint8Array(byteLength > MAX_TEXT ? 0 : byteLength);
    if (bytes.length === 0) return "";
    return new TextDecoder().decode(bytes.subarray(0, this.#file.read(bytes, this.#at)));
  }
}

/** The locations that the initializers of a model's main graph name. @throws for what is no protobuf */
function scan(file: OpenFile, byteLength: number): string[] {
  const scanner = new Scanner(file), locations = new Set<string>();
  let key = "", value = "";
  const entry: Fields = {
    [ENTRY_KEY]: (end) => key = scanner.text(end),
    [ENTRY_VALUE]: (end) => value = scanner.text(end),
  };
  const tensor: Fields = {
    [TENSOR_EXTERNAL_DATA]: (end) => {
      key = value = "";
      scanner.message(end, entry);
      if (key === "location" && value !== "" && !value.includes("\0")) locations.add(value);
    },
  };
  const lookInto = (end: number): void => scanner.message(end, tensor);
  const sparse: Fields = { [SPARSE_VALUES]: lookInto, [SPARSE_INDICES]: lookInto };
  const graph: Fields = {
    [GRAPH_INITIALIZER]: lookInto,
    [GRAPH_SPARSE_INITIALIZER]: (end) => scanner.message(end, sparse),
  };
  scanner.message(byteLength, { [MODEL_GRAPH]: (end) => scanner.message(end, graph) });
  return [...locations];
}

/** The locations of a model's external data as it names them; none where it is no model, which loading it will tell. */
export function externalLocations(path: string, byteLength: number): readonly string[] {
  try {
    using file = new OpenFile(path);
    return scan(file, byteLength);
  } catch {
    return [];
  }
}

/**
 * The state of a model's external data. The model is read once for each of its own states; after that this costs one
 * look at each file.
 *
 * @param model the model's own state
 */
export function externalData(path: string, model: FileIdentity): ExternalData {
  let locations = known.get(model.key);
  if (locations === undefined) {
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(model.key, locations = externalLocations(path, model.byteLength));
  }
  if (locations.length === 0) return none;
  const folder = dirname(realPath(path) ?? path);
  let key = "", byteLength = 0;
  for (const location of locations) {
    const found = fileIdentity(resolve(folder, location));
    key += "error" in found ? `+${found.error}` : `+${found.key}`;
    if (!("error" in found)) byteLength += found.byteLength;
  }
  return { key, byteLength };
}
