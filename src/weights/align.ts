import path from "node:path";
import { renamePath, writeNewFile } from "../../ffi/file_tree.ts";
import { fileIdentity, OpenFile } from "../../ffi/files.ts";
import { NativeError } from "../errors.ts";
import { copyPieces, type Move } from "./copy_pieces.ts";
import { DATA, MODEL } from "./manifest.ts";
import { edit, editTensors, externalOf, FIELD, moveTensor, type Piece, visit, visitTensors } from "./onnx_message.ts";
import { DuplicateInitializers } from "./duplicate_initializers.ts";

/** What onnxruntime's own memory is aligned to: its kernels read packed weights by instructions that insist on it. */
const ALIGNMENT = 256;
/** A model of this size without its weights is none. */
const MAX_MODEL_BYTES = 1 << 30;
/** The part of the data at odd addresses from which on all of it is written anew, so that no gaps stay. */
const REWRITTEN_FROM = 1 / 8;

const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

/** Where everything in a data file goes. */
class Layout {
  readonly moves: Move[] = [];
  /** Whether all of it goes into a new file. */
  readonly isNew: boolean;
  readonly #places = new Map<number, number>();

  constructor(pieces: readonly Piece[], fileByteLength: number) {
    const longest = new Map<number, Piece>(); // empty ones may share the next one's place
    for (const piece of pieces) {
      if (piece.byteLength >= (longest.get(piece.offset)?.byteLength ?? 0)) longest.set(piece.offset, piece);
    }
    const distinct = [...longest.values()];
    const odd = distinct.filter(({ offset }) => offset % ALIGNMENT !== 0);
    this.isNew = bytesOf(odd) > fileByteLength * REWRITTEN_FROM;
    let end = this.isNew ? 0 : fileByteLength;
    for (const { offset, byteLength } of (this.isNew ? distinct : odd).sort((a, b) => a.offset - b.offset)) {
      const to = aligned(end);
      this.#places.set(offset, to);
      this.moves.push({ from: offset, to, byteLength });
      end = to + byteLength;
    }
  }

  place(offset: number): number {
    return this.#places.get(offset) ?? offset;
  }
}

const bytesOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);

/** The pieces of a model's data file, and how many bytes of them a session computes with. */
function piecesOf(model: Uint8Array): { readonly pieces: Piece[]; readonly usedBytes: number } {
  const pieces: Piece[] = [];
  let usedBytes = 0;
  visit(model, {
    [FIELD.model.graph]: (graph) =>
      visitTensors(graph, (tensor) => {
        const { location, data, packed } = externalOf(tensor);
        if (data === undefined) return;
        if (location !== DATA) throw new NativeError("NOT_SHAREABLE", `onnxruntime left weights in ${location}`);
        pieces.push(data, ...packed);
        usedBytes += packed.length > 0 ? bytesOf(packed) : data.byteLength;
      }),
  });
  return { pieces, usedBytes };
}

function readAll(file: string, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  using open = new OpenFile(file);
  for (let at = 0, read = -1; read !== 0; at += read) read = open.read(bytes.subarray(at), at);
  return bytes;
}

function sizeOf(file: string): number {
  const found = fileIdentity(file);
  return "error" in found ? 0 : found.byteLength;
}

/**
 * Moves the weights of a converted model to addresses that its kernels can read: onnxruntime writes those of tensors
 * under 1 MB one after the other, and crashes on some that it maps again. Drops what it writes twice and then refuses to
 * load: the weights inside If, Loop and Scan.
 *
 * @returns the bytes of weights in the data file that a session computes with
 * @throws {NativeError} NOT_SHAREABLE; SYSTEM
 * @throws {SystemFailure}
 * @throws the signal's reason, when it aborts
 */
export async function alignWeights(directory: string, signal: AbortSignal | undefined): Promise<number> {
  const modelFile = path.join(directory, MODEL), data = path.join(directory, DATA), byteLength = sizeOf(modelFile);
  if (byteLength > MAX_MODEL_BYTES) throw new NativeError("NOT_SHAREABLE", "most of its weights stay inside the model");
  if (sizeOf(data) === 0) return 0;
  const written = readAll(modelFile, byteLength), duplicates = new DuplicateInitializers();
  const model = edit(written, {
    [FIELD.model.graph]: (graph) =>
      editTensors(graph, {
        initializer: (tensor, of) => duplicates.isFirst(tensor, of) ? undefined : tensor,
        attribute: (tensor) => tensor,
      }),
  });
  duplicates.check(data);
  const { pieces, usedBytes } = piecesOf(model), layout = new Layout(pieces, sizeOf(data));
  if (layout.moves.length === 0 && duplicates.count === 0) return usedBytes;
  const draft = `${data}.aligned`;
  await copyPieces(layout.moves, data, layout.isNew ? draft : data, signal);
  if (layout.isNew) renamePath(draft, data);
  const move = (tensor: Uint8Array): Uint8Array => moveTensor(tensor, (at) => layout.place(at));
  const moved = edit(model, {
    [FIELD.model.graph]: (graph) => editTensors(graph, { initializer: move, attribute: move }),
  });
  writeNewFile(`${modelFile}.aligned`, moved as Uint8Array<ArrayBuffer>);
  renamePath(`${modelFile}.aligned`, modelFile);
  return usedBytes;
}
