import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Protobuf fields, by the messages of onnx.proto. */
export const FIELD = {
  model: { graph: 7 },
  graph: { node: 1, initializer: 5 },
  node: { attribute: 5 },
  attribute: { tensor: 5, graph: 6, tensors: 10, graphs: 11 },
  tensor: { name: 8, rawData: 9, externalData: 13 },
  entry: { key: 1, value: 2 },
} as const;

/** What is asked of fields, by their numbers. */
export type Visits = Readonly<Record<number, (bytes: Uint8Array) => void>>;
/** What becomes of fields, by their numbers; `undefined` drops one. */
export type Edits = Readonly<Record<number, (bytes: Uint8Array) => Uint8Array | undefined>>;

/** Looks at some fields of a message, in their order. */
export function visit(message: Uint8Array, visits: Visits): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag(), look = visits[field];
    if (look === undefined || type !== WireType.LengthDelimited) reader.skip(type, field);
    else look(reader.bytes());
  }
}

/** A message with some of its fields edited, and all others as they were. */
export function edit(message: Uint8Array, edits: Edits): Uint8Array {
  const reader = new BinaryReader(message), writer = new BinaryWriter();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag(), change = edits[field];
    if (change === undefined || type !== WireType.LengthDelimited) {
      writer.tag(field, type).raw(reader.skip(type, field));
      continue;
    }
    const changed = change(reader.bytes());
    if (changed !== undefined) writer.tag(field, type).bytes(changed);
  }
  return writer.finish();
}

const decoder = new TextDecoder();

/** A key and its value, of those by which a tensor says where its data lies. */
export function entryOf(entry: Uint8Array): { readonly key: string; readonly value: string } {
  let key = "", value = "";
  visit(entry, {
    [FIELD.entry.key]: (text) => key = decoder.decode(text),
    [FIELD.entry.value]: (text) => value = decoder.decode(text),
  });
  return { key, value };
}

/** A tensor's name. */
export function nameOf(tensor: Uint8Array): string {
  let name = "";
  visit(tensor, { [FIELD.tensor.name]: (text) => name = decoder.decode(text) });
  return name;
}

/** A piece of a data file. */
export interface Piece {
  readonly offset: number;
  readonly byteLength: number;
}

/** Where a tensor's data lies in a file, if it does, and the same as it is laid out for computing. */
export interface External {
  readonly location: string | undefined;
  readonly data: Piece | undefined;
  readonly packed: readonly Piece[];
}

/** Weights laid out for computing are `key|offset;length;checksum`, the latter part once or more. */
export function packedPieces(value: string): Piece[] {
  return value.split("|").slice(1).map((blob) => {
    const [offset, length] = blob.split(";");
    return { offset: Number(offset), byteLength: Number(length) };
  });
}

/** Where a tensor's data lies. */
export function externalOf(tensor: Uint8Array): External {
  let location: string | undefined, offset = 0, byteLength = 0;
  const packed: Piece[] = [];
  visit(tensor, {
    [FIELD.tensor.externalData](bytes) {
      const { key, value } = entryOf(bytes);
      if (key === "location") location = value;
      else if (key === "offset") offset = Number(value);
      else if (key === "length") byteLength = Number(value);
      else if (key.startsWith("prepacked")) packed.push(...packedPieces(value));
    },
  });
  return { location, data: location === undefined ? undefined : { offset, byteLength }, packed };
}

const encoder = new TextEncoder();

/** A tensor whose data lies elsewhere. @param place where what was at an offset is now */
export function moveTensor(tensor: Uint8Array, place: (offset: number) => number): Uint8Array {
  return edit(tensor, {
    [FIELD.tensor.externalData](bytes) {
      const { key, value } = entryOf(bytes), moved = moveEntry(key, value, place);
      return moved === value ? bytes : edit(bytes, { [FIELD.entry.value]: () => encoder.encode(moved) });
    },
  });
}

function moveEntry(key: string, value: string, place: (offset: number) => number): string {
  if (key === "offset") return `${place(Number(value))}`;
  if (!key.startsWith("prepacked")) return value;
  const [name, ...blobs] = value.split("|");
  const moved = blobs.map((blob) => {
    const [offset, ...rest] = blob.split(";");
    return [place(Number(offset)), ...rest].join(";");
  });
  return [name, ...moved].join("|");
}

/** What becomes of a graph's tensors; `undefined` drops one. */
export interface TensorEdits {
  initializer(tensor: Uint8Array, graph: Uint8Array): Uint8Array | undefined;
  /** Of a node. */
  attribute(tensor: Uint8Array): Uint8Array;
}

/** Edits the tensors of a graph, and of the graphs in its nodes. */
export function editTensors(graph: Uint8Array, edits: TensorEdits): Uint8Array {
  const inGraph = (inner: Uint8Array): Uint8Array => editTensors(inner, edits);
  const attribute: Edits = {
    [FIELD.attribute.tensor]: edits.attribute,
    [FIELD.attribute.tensors]: edits.attribute,
    [FIELD.attribute.graph]: inGraph,
    [FIELD.attribute.graphs]: inGraph,
  };
  return edit(graph, {
    [FIELD.graph.node]: (bytes) => edit(bytes, { [FIELD.node.attribute]: (inner) => edit(inner, attribute) }),
    [FIELD.graph.initializer]: (tensor) => edits.initializer(tensor, graph),
  });
}

/** Looks at the tensors of a graph, and of the graphs in its nodes. */
export function visitTensors(graph: Uint8Array, look: (tensor: Uint8Array) => void): void {
  const inGraph = (inner: Uint8Array): void => visitTensors(inner, look);
  const attribute: Visits = {
    [FIELD.attribute.tensor]: look,
    [FIELD.attribute.tensors]: look,
    [FIELD.attribute.graph]: inGraph,
    [FIELD.attribute.graphs]: inGraph,
  };
  const node: Visits = { [FIELD.node.attribute]: (bytes) => visit(bytes, attribute) };
  visit(graph, { [FIELD.graph.node]: (bytes) => visit(bytes, node), [FIELD.graph.initializer]: look });
}
