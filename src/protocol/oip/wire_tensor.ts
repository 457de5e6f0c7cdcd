/**
 * Tensors in a request or a response: a description in JSON, and elements there, behind the JSON, or in shared memory.
 *
 * @module
 */
import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkByteLength, decodeBinaryData, encodeBinaryData } from "./binary_data.ts";
import { datatypeOf, dtypeOfDatatype } from "./datatypes.ts";
import type { WireDocument } from "./document.ts";
import {
  type DescribedTensor,
  type Fields,
  isThere,
  readCount,
  readFields,
  readList,
  readParameters,
  readShape,
  readText,
} from "./fields.ts";
import { decodeJsonData, encodeJsonData } from "./json_data.ts";
import { badRequest, quote } from "./oip_error.ts";

/** Where in a region of shared memory a tensor lies. */
export interface RegionPart {
  /** The name that the region was registered by. */
  readonly region: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** A tensor of a request or a response. */
export interface WireTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** `undefined` where its elements are not in the body. */
  readonly tensor: Tensor | undefined;
  /** Whether its elements are behind the JSON. */
  readonly isBinary: boolean;
  readonly part: RegionPart | undefined;
}

/** The lists that tensors are in, and what one of each is called. */
const ENTRIES = { inputs: "input", outputs: "output" } as const;

/** Where `parameters` say that a tensor lies in shared memory. @throws {OipError} 400 */
export function readPart(what: string, parameters: Fields): RegionPart | undefined {
  const { shared_memory_region: region, shared_memory_byte_size: size, shared_memory_offset: offset } = parameters;
  if (!isThere(region) && !isThere(size)) return undefined;
  const byteLength = readCount(what, "shared_memory_byte_size", size);
  if (!isThere(region) || byteLength === undefined) {
    const [given, missing] = isThere(region) ? ["region", "byte_size"] : ["byte_size", "region"];
    throw badRequest(`Cannot read ${what}: it has shared_memory_${given} without shared_memory_${missing}`);
  }
  const byteOffset = readCount(what, "shared_memory_offset", offset) ?? 0;
  if (!Number.isSafeInteger(byteOffset + byteLength)) {
    throw badRequest(`Cannot read ${what}: no region has ${byteLength} bytes from ${byteOffset} on`);
  }
  return { region: readText(what, "shared_memory_region", region), byteOffset, byteLength };
}

/** Refuses names that are there twice. @throws {OipError} 400 */
export function refuseDuplicates(what: string, list: readonly { readonly name: string }[]): void {
  if (list.length < 2) return;
  const names = new Set<string>();
  for (const { name } of list) {
    if (names.has(name)) throw badRequest(`Cannot read ${what}: ${quote(name)} is there twice`);
    names.add(name);
  }
}

/** Takes the bytes behind the JSON, piece by piece. */
class BinaryReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #taken = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  take(what: string, byteLength: number): Uint8Array<ArrayBuffer> {
    const rest = this.#bytes.length - this.#taken;
    if (byteLength > rest) throw badRequest(`Cannot read ${what}: ${byteLength} binary bytes wanted, ${rest} found`);
    this.#taken += byteLength;
    return this.#bytes.subarray(this.#taken - byteLength, this.#taken);
  }

  end(what: string): void {
    const rest = this.#bytes.length - this.#taken;
    if (rest > 0) throw badRequest(`Cannot read ${what}: ${rest} bytes follow its last binary tensor`);
  }
}

function readTensor(
  kind: string,
  index: number,
  found: unknown,
  binary: BinaryReader,
  exactData: () => unknown,
): WireTensor {
  const fields = readFields(`${kind} ${index}`, found), { data } = fields;
  const name = readText(`${kind} ${index}`, "name", fields.name), what = `${kind} ${quote(name)}`;
  const dtype = dtypeOfDatatype(fields.datatype, what), shape = readShape(what, dtype, fields.shape);
  const parameters = readParameters(what, fields.parameters), part = readPart(what, parameters);
  const binaryBytes = readCount(what, "binary_data_size", parameters.binary_data_size);
  const description: DescribedTensor = { what, dtype, shape }, isBinary = binaryBytes !== undefined;
  if (Number(isThere(data)) + Number(isBinary) + Number(part !== undefined) > 1) {
    throw badRequest(`Cannot read ${what}: more than one of data, binary_data_size and shared_memory_region are there`);
  }
  if (isBinary) {
    checkByteLength(description, binaryBytes); // the shape says how many, whatever is there
    const tensor = decodeBinaryData(description, binary.take(what, binaryBytes));
    return { name, dtype, shape, tensor, isBinary, part };
  }
  const tensor = isThere(data) ? decodeJsonData(description, data, exactData) : undefined;
  return { name, dtype, shape, tensor, isBinary, part };
}

/** Reads all tensors of a list. They borrow the binary bytes where these are aligned. @throws {OipError} 400 */
export function readTensors(document: WireDocument, list: keyof typeof ENTRIES): WireTensor[] {
  const { what, fields, exactFields } = document, binary = new BinaryReader(document.binary);
  const tensors = readList(what, list, fields[list]).map((found, i) =>
    readTensor(ENTRIES[list], i, found, binary, () => (exactFields()[list] as readonly Fields[])[i]!.data)
  );
  binary.end(what);
  refuseDuplicates(what, tensors);
  return tensors;
}

/** What `parameters` say of shared memory. */
export function partParameters({ region, byteOffset, byteLength }: RegionPart): Fields {
  return {
    shared_memory_region: region,
    shared_memory_byte_size: byteLength,
    ...(byteOffset > 0 && { shared_memory_offset: byteOffset }),
  };
}

/** The JSON of a tensor. Its binary bytes, if any, are added to `binary`. @throws {OipError} 400 for what has no JSON */
export function tensorText(what: string, wire: WireTensor, binary: Uint8Array<ArrayBuffer>[]): string {
  const { name, dtype, shape, tensor, isBinary, part } = wire;
  const head = `{"name":${JSON.stringify(name)},"shape":[${shape.join()}],"datatype":"${datatypeOf(dtype)}"`;
  if (part !== undefined) return `${head},"parameters":${JSON.stringify(partParameters(part))}}`;
  if (tensor === undefined) return `${head}}`;
  if (!isBinary) return `${head},"data":${encodeJsonData(`${what} ${quote(name)}`, tensor)}}`;
  const bytes = encodeBinaryData(tensor);
  binary.push(bytes);
  return `${head},"parameters":{"binary_data_size":${bytes.length}}}`;
}
