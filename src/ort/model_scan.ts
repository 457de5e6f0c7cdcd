import { fileIdentity, OpenFile } from "../../ffi/files.ts";

/** Protobuf fields, by the messages of onnx.proto. */
const MODEL_GRAPH = 7, MODEL_FUNCTIONS = 25, FUNCTION_NODE = 7;
const GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_SPARSE_INITIALIZER = 15, SPARSE_VALUES = 1, SPARSE_INDICES = 2;
const NODE_OPERATOR = 4, NODE_ATTRIBUTE = 5;
const ATTRIBUTE_TENSOR = 5, ATTRIBUTE_GRAPH = 6, ATTRIBUTE_TENSORS = 10, ATTRIBUTE_GRAPHS = 11;
const ATTRIBUTE_SPARSE_TENSOR = 22, ATTRIBUTE_SPARSE_TENSORS = 23;
const TENSOR_EXTERNAL_DATA = 13, ENTRY_KEY = 1, ENTRY_VALUE = 2;
const VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, START_GROUP = 3, END_GROUP = 4, FIXED32 = 5;

const WINDOW = 4096, MAX_TEXT = 4096;
/** Fields after which a file is taken for none that a model is made of. (The numbers of decision trees are one each.) */
const MAX_FIELDS = 1 << 26;

/** What can be read anywhere. */
export type Readable = Pick<OpenFile, "read">;

type Fields = Readonly<Record<number, (end: number) => void>>;

/** Skips through a protobuf file, reading only the fields that are asked for. */
class Scanner {
  readonly #file: Readable;
  readonly #window = new Uint8Array(WINDOW);
  #start = 0;
  #length = 0;
  #at = 0;
  #fields = 0;

  constructor(file: Readable) {
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
      } else if (type === START_GROUP) this.#group(end);
      else throw new RangeError("a field of no known type");
    }
    if (this.#at > end) throw new RangeError("a field ends after its message");
  }

  /** Skips a group, which a newer format or a stranger may have put there. */
  #group(end: number): void {
    for (let depth = 1; depth > 0;) {
      if (this.#at >= end || ++this.#fields > MAX_FIELDS) throw new RangeError("a group does not end");
      const type = this.#varint() % 8;
      if (type === VARINT) this.#varint();
      else if (type === FIXED64) this.#at += 8;
      else if (type === FIXED32) this.#at += 4;
      else if (type === LENGTH_DELIMITED) this.#at += this.#varint();
      else depth += type === START_GROUP ? 1 : type === END_GROUP ? -1 : NaN;
      if (Number.isNaN(depth)) throw new RangeError("a field of no known type");
    }
  }

  /** The text that ends there; `undefined` when it is too long for a path. */
  text(end: number): string | undefined {
    const byteLength = end - this.#at;
    if (byteLength > MAX_TEXT) return undefined;
    const bytes = new Uint8Array(byteLength);
    if (byteLength === 0) return "";
    return new TextDecoder().decode(bytes.subarray(0, this.#file.read(bytes, this.#at)));
  }
}

/** What is asked of a model's file. */
interface Finds {
  /** A file beside the model that a tensor's data lies in, anywhere in the model. */
  location?(name: string): void;
  /** There is such a file, whose name no file can have. */
  noPath?(): void;
  /** The operator of a node, anywhere in the model. */
  operator?(name: string): void;
}

/** Looks through a model's graph, the graphs within its nodes and its functions. @throws for what is no protobuf */
function scan(file: Readable, byteLength: number, finds: Finds): void {
  const scanner = new Scanner(file);
  let key: string | undefined = "", value: string | undefined = "";
  const entry: Fields = {
    [ENTRY_KEY]: (end) => key = scanner.text(end),
    [ENTRY_VALUE]: (end) => value = scanner.text(end),
  };
  const tensor: Fields = {
    [TENSOR_EXTERNAL_DATA]: (end) => {
      key = value = "";
      scanner.message(end, entry);
      if (key !== "location" || value === "") return;
      if (value === undefined || value.includes("\0")) finds.noPath?.();
      else finds.location?.(value);
    },
  };
  const inTensor = (end: number): void => scanner.message(end, tensor);
  const sparse: Fields = { [SPARSE_VALUES]: inTensor, [SPARSE_INDICES]: inTensor };
  const inSparse = (end: number): void => scanner.message(end, sparse);
  const inGraph = (end: number): void => scanner.message(end, graph);
  const attribute: Fields = {
    [ATTRIBUTE_TENSOR]: inTensor,
    [ATTRIBUTE_TENSORS]: inTensor,
    [ATTRIBUTE_GRAPH]: inGraph,
    [ATTRIBUTE_GRAPHS]: inGraph,
    [ATTRIBUTE_SPARSE_TENSOR]: inSparse,
    [ATTRIBUTE_SPARSE_TENSORS]: inSparse,
  };
  const node: Fields = {
    [NODE_ATTRIBUTE]: (end) => scanner.message(end, attribute),
    ...(finds.operator && { [NODE_OPERATOR]: (end) => finds.operator!(scanner.text(end) ?? "") }),
  };
  const inNode = (end: number): void => scanner.message(end, node);
  const graph: Fields = { [GRAPH_NODE]: inNode, [GRAPH_INITIALIZER]: inTensor, [GRAPH_SPARSE_INITIALIZER]: inSparse };
  const inFunction = (end: number): void => scanner.message(end, { [FUNCTION_NODE]: inNode });
  scanner.message(byteLength, { [MODEL_GRAPH]: inGraph, [MODEL_FUNCTIONS]: inFunction });
}

/** The locations of a model's external data as it names them. @throws {Error} for what is no model, or cannot be read */
export function locationsIn(file: Readable, byteLength: number): readonly string[] {
  const locations = new Set<string>();
  scan(file, byteLength, {
    location: (name) => locations.add(name),
    noPath() {
      throw new RangeError("a location that is no path");
    },
  });
  return [...locations];
}

/** The same of a model in a file, but for what is no path; none where it is no model, which loading it will tell. */
export function externalLocations(path: string, byteLength: number): readonly string[] {
  const locations = new Set<string>();
  try {
    using file = new OpenFile(path);
    scan(file, byteLength, { location: (name) => locations.add(name) });
    return [...locations];
  } catch {
    return [];
  }
}

/** The operators of a model's nodes, by their names. @throws {Error} for what is no model */
export function operatorsOf(path: string): ReadonlySet<string> {
  const operators = new Set<string>(), found = fileIdentity(path);
  using file = new OpenFile(path);
  scan(file, "error" in found ? 0 : found.byteLength, { operator: (name) => operators.add(name) });
  return operators;
}
