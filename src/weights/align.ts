import path from "node:path";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { openOwnFile, renamePath, writeNewFile } from "../../ffi/file_tree.ts";
import { fileIdentity, OpenFile } from "../../ffi/files.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { SystemError } from "../errors.ts";
import { Block } from "../memory/block.ts";
import { DATA, MODEL } from "./manifest.ts";

/** What onnxruntime's own memory is aligned to: its kernels read packed weights by instructions that insist on it. */
const ALIGNMENT = 256;
const CHUNK = 4 << 20;

/** Protobuf fields, by the messages of onnx.proto. */
const MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, NODE_ATTRIBUTE = 5;
const ATTRIBUTE_TENSOR = 5, ATTRIBUTE_GRAPH = 6, ATTRIBUTE_TENSORS = 10, ATTRIBUTE_GRAPHS = 11;
const TENSOR_EXTERNAL_DATA = 13, ENTRY_KEY = 1, ENTRY_VALUE = 2;

/** A piece of the data file that has to lie elsewhere. */
interface Move {
  readonly from: number;
  readonly to: number;
  readonly byteLength: number;
}

type Edits = Readonly<Record<number, (bytes: Uint8Array) => Uint8Array>>;

/** A message with some of its fields edited, and all others as they were. */
function edit(message: Uint8Array, edits: Edits): Uint8Array {
  const reader = new BinaryReader(message), writer = new BinaryWriter();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag(), change = edits[field];
    writer.tag(field, type);
    if (change !== undefined && type === WireType.LengthDelimited) writer.bytes(change(reader.bytes()));
    else writer.raw(reader.skip(type, field));
  }
  return writer.finish();
}

/** Finds new places, at the file's end, for what lies in it at odd addresses. */
class Placement {
  readonly moves: Move[] = [];
  readonly #known = new Map<number, number>();
  #end: number;

  constructor(fileByteLength: number) {
    this.#end = fileByteLength;
  }

  place(from: number, byteLength: number): number {
    if (from % ALIGNMENT === 0) return from;
    const known = this.#known.get(from);
    if (known !== undefined) return known;
    const to = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    this.#end = to + byteLength;
    this.#known.set(from, to);
    this.moves.push({ from, to, byteLength });
    return to;
  }
}

const decoder = new TextDecoder(), encoder = new TextEncoder();

function entryOf(bytes: Uint8Array): { readonly key: string; readonly value: string } {
  let key = "", value = "";
  edit(bytes, {
    [ENTRY_KEY]: (text) => (key = decoder.decode(text), text),
    [ENTRY_VALUE]: (text) => (value = decoder.decode(text), text),
  });
  return { key, value };
}

/** Weights laid out for computing: `key|offset;length;checksum`, the latter part once or more. */
function placePacked(value: string, placement: Placement): string {
  const [key, ...blobs] = value.split("|");
  const placed = blobs.map((blob) => {
    const [offset, length, ...rest] = blob.split(";");
    return [placement.place(Number(offset), Number(length)), length, ...rest].join(";");
  });
  return [key, ...placed].join("|");
}

function placeTensor(tensor: Uint8Array, placement: Placement): Uint8Array {
  let length = 0;
  edit(tensor, {
    [TENSOR_EXTERNAL_DATA](bytes) {
      const { key, value } = entryOf(bytes);
      if (key === "length") length = Number(value);
      return bytes;
    },
  });
  return edit(tensor, {
    [TENSOR_EXTERNAL_DATA](bytes) {
      const { key, value } = entryOf(bytes);
      const placed = key === "offset"
        ? `${placement.place(Number(value), length)}`
        : key.startsWith("prepacked")
        ? placePacked(value, placement)
        : value;
      return placed === value ? bytes : edit(bytes, { [ENTRY_VALUE]: () => encoder.encode(placed) });
    },
  });
}

function placeModel(model: Uint8Array, placement: Placement): Uint8Array {
  const inTensor = (bytes: Uint8Array): Uint8Array => placeTensor(bytes, placement);
  const inGraph = (bytes: Uint8Array): Uint8Array => edit(bytes, graph);
  const attribute: Edits = {
    [ATTRIBUTE_TENSOR]: inTensor,
    [ATTRIBUTE_TENSORS]: inTensor,
    [ATTRIBUTE_GRAPH]: inGraph,
    [ATTRIBUTE_GRAPHS]: inGraph,
  };
  const node: Edits = { [NODE_ATTRIBUTE]: (bytes) => edit(bytes, attribute) };
  const graph: Edits = { [GRAPH_NODE]: (bytes) => edit(bytes, node), [GRAPH_INITIALIZER]: inTensor };
  return edit(model, { [MODEL_GRAPH]: inGraph });
}

async function copyPieces(data: string, moves: readonly Move[], signal: AbortSignal | undefined): Promise<void> {
  using file = new OwnedDescriptor(openOwnFile(data));
  const block = new Block(CHUNK), pread = functionPointer("pread"), pwrite = functionPointer("pwrite");
  try {
    for (const { from, to, byteLength } of moves) {
      for (let at = 0; at < byteLength; at += CHUNK) {
        signal?.throwIfAborted();
        const length = BigInt(Math.min(CHUNK, byteLength - at)),
          [source, target] = [BigInt(from + at), BigInt(to + at)];
        const read = await callNative("load", pread, [BigInt(file.fd), block.address, length, source]);
        const written = await callNative("load", pwrite, [BigInt(file.fd), block.address, length, target]);
        if (read !== length || written !== length) {
          throw new SystemError("SYSTEM", `Cannot align the weights in ${data}`);
        }
      }
    }
  } finally {
    block.dispose();
  }
}

/**
 * Moves all weights of a converted model to addresses that its kernels can read: onnxruntime writes those of tensors
 * under 1 MB one after the other, and crashes on some that it maps again.
 *
 * @throws {SystemError}
 */
export async function alignWeights(directory: string, signal: AbortSignal | undefined): Promise<void> {
  const model = path.join(directory, MODEL), data = path.join(directory, DATA);
  const [modelFile, dataFile] = [fileIdentity(model), fileIdentity(data)];
  if ("error" in modelFile || "error" in dataFile) return; // no weights apart
  const bytes = new Uint8Array(modelFile.byteLength), placement = new Placement(dataFile.byteLength);
  {
    using file = new OpenFile(model);
    for (let at = 0, read = -1; read !== 0; at += read) read = file.read(bytes.subarray(at), at);
  }
  const placed = placeModel(bytes, placement);
  if (placement.moves.length === 0) return;
  await copyPieces(data, placement.moves, signal);
  const draft = `${model}.aligned`;
  writeNewFile(draft, new Uint8Array(placed));
  renamePath(draft, model);
}
