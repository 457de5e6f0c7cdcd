import { Buffer } from "node:buffer";
import { OpenFile } from "../../ffi/files.ts";
import { NativeError } from "../errors.ts";
import { externalOf, FIELD, nameOf, visit } from "./onnx_message.ts";

/** Tensors of a graph that it has twice: as a part of the model, and, last, among the weights apart. */
export class DuplicateInitializers {
  readonly #last = new Map<Uint8Array, Map<string, Uint8Array>>();
  readonly #dropped: { readonly name: string; readonly inside: Uint8Array; readonly apart: Uint8Array }[] = [];

  /** How many were found. */
  get count(): number {
    return this.#dropped.length;
  }

  /** Whether a tensor is one that its graph has again, so that it can be dropped. */
  isFirst(tensor: Uint8Array, graph: Uint8Array): boolean {
    const name = nameOf(tensor), apart = this.#lastOf(graph).get(name);
    if (apart === undefined || apart.byteOffset === tensor.byteOffset) return false;
    this.#dropped.push({ name, inside: tensor, apart });
    return true;
  }

  #lastOf(graph: Uint8Array): Map<string, Uint8Array> {
    let last = this.#last.get(graph);
    if (last !== undefined) return last;
    this.#last.set(graph, last = new Map());
    visit(graph, { [FIELD.graph.initializer]: (tensor) => last.set(nameOf(tensor), tensor) });
    return last;
  }

  /** Makes sure that what was dropped is what lies apart. @param data the file of the weights @throws {NativeError} NOT_SHAREABLE */
  check(data: string): void {
    if (this.#dropped.length === 0) return;
    using file = new OpenFile(data);
    for (const { name, inside, apart } of this.#dropped) {
      if (externalOf(inside).data !== undefined) continue; // it lies in the file that this one was made from
      const raw = rawOf(inside), external = externalOf(apart).data;
      const other = external === undefined ? rawOf(apart) : read(file, external.offset, external.byteLength);
      if (raw !== undefined && other !== undefined && Buffer.compare(raw, other) === 0) continue;
      throw new NativeError("NOT_SHAREABLE", `onnxruntime wrote "${name}" as two different tensors`);
    }
  }
}

function rawOf(tensor: Uint8Array): Uint8Array | undefined {
  let raw: Uint8Array | undefined;
  visit(tensor, { [FIELD.tensor.rawData]: (bytes) => raw = bytes });
  return raw;
}

function read(file: OpenFile, offset: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  for (let at = 0, length = -1; length !== 0 && at < byteLength; at += length) {
    length = file.read(bytes.subarray(at), offset + at);
  }
  return bytes;
}
