/** Good requests to the models of models.ts, by hand, and what their answers hold. */
import type { RequestDescription, TensorDescription } from "../../../src/protocol/description.ts";
import { PLACE } from "../../../src/protocol/description.ts";
import { encodeTensor } from "../../../src/tensor/bytes.ts";
import { type ModelName, TABLE } from "./models.ts";
import { type RawClient, requestOf } from "./raw_client.ts";

const FLOAT32 = 1, UINT8 = 2, INT64 = 7, STRING = 8, FLOAT64 = 11;
/** Where tensors of a slot lie, behind its request. */
const TENSORS = 2048, EACH = 1 << 17;

/** A request that a worker answers rightly. */
export interface GoodRequest {
  readonly request: RequestDescription;
  /** Writes the tensors that it names. */
  fill(client: RawClient): void;
  /** Whether its outputs are right. */
  isRight(client: RawClient): boolean;
}

/** Where the tensors of a slot start. */
export const tensorsOf = (slot: number): number => requestOf(slot) + TENSORS;

function tensor(
  port: number,
  elementType: number,
  shape: readonly number[],
  byteOffset: number,
  byteLength: number,
  place: number = PLACE.lane,
): TensorDescription {
  return { port, elementType, shape, place, byteOffset, byteLength };
}

const floatsAt = ({ lane }: RawClient, byteOffset: number, length: number): Float32Array =>
  new Float32Array(lane.buffer, byteOffset, length);

/** A request of a model as it lies in a slot. */
export function goodRequest(model: ModelName, slot: number): GoodRequest {
  const at = tensorsOf(slot), [one, other, out, more] = [at, at + EACH, at + 2 * EACH, at + 3 * EACH] as const;
  if (model === "add" || model === "sum") return twoInputs(model, one, other, out, slot);
  if (model === "gather") {
    const count = 40, indices = BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 7 + slot) % TABLE.length));
    return {
      request: {
        inputs: [tensor(0, INT64, [count], one, count * 8)],
        outputs: [tensor(0, FLOAT32, [], out, EACH)],
      },
      fill: ({ lane }) => new BigInt64Array(lane.buffer, one, count).set(indices),
      isRight: (client) => floatsAt(client, out, count).every((value, i) => value === TABLE[Number(indices[i])]),
    };
  }
  if (model === "casts") {
    const count = 100;
    return {
      request: {
        inputs: [tensor(0, FLOAT32, [count], one, count * 4)],
        outputs: [tensor(0, FLOAT64, [], out, EACH), tensor(1, UINT8, [], more, EACH)],
      },
      fill: (client) => floatsAt(client, one, count).forEach((_, i, all) => all[i] = i + slot),
      isRight: ({ lane }) =>
        new Float64Array(lane.buffer, out, count).every((value, i) => value === i + slot) &&
        lane.subarray(more, more + count).every((value, i) => value === i + slot),
    };
  }
  if (model === "largest") {
    return {
      request: {
        inputs: [tensor(0, FLOAT32, [8192], one, 8192 * 4)],
        outputs: [tensor(0, FLOAT32, [], out, 4096 * 4), tensor(1, INT64, [], more, 4096 * 8)],
      },
      fill: (client) => floatsAt(client, one, 8192).forEach((_, i, all) => all[i] = i * 4099 % 8192),
      isRight: (client) => floatsAt(client, out, 4096).every((value, i) => value === 8191 - i),
    };
  }
  const bytes = encodeTensor("string", [2], ["köln", "bon".repeat(slot)]);
  return {
    request: {
      inputs: [tensor(0, STRING, [2], one, bytes.length, PLACE.encoded)],
      outputs: [tensor(0, STRING, [], out, EACH, PLACE.encoded)],
    },
    fill: ({ lane }) => lane.set(bytes, one),
    isRight: ({ lane }) => bytes.every((byte, i) => lane[out + i] === byte),
  };
}

/** Of `add`; and of `sum`, of whose sequence this is the first request, so that its state is zeros. */
function twoInputs(model: "add" | "sum", one: number, other: number, out: number, slot: number): GoodRequest {
  const input = (port: number, byteOffset: number): TensorDescription => tensor(port, FLOAT32, [4], byteOffset, 16);
  const isSum = model === "sum";
  return {
    request: {
      inputs: isSum ? [input(0, one)] : [input(0, one), input(1, other)],
      outputs: isSum ? [tensor(1, FLOAT32, [], out, 16)] : [tensor(0, FLOAT32, [], out, 16)],
      sequence: isSum ? { id: slot + 1, start: true, end: false } : undefined,
    },
    fill(client) {
      floatsAt(client, one, 4).set([1, 2, 3, slot]);
      floatsAt(client, other, 4).set([10, 20, 30, 40]);
    },
    isRight: (client) => floatsAt(client, out, 4).join() === (isSum ? [1, 2, 3, slot] : [11, 22, 33, 40 + slot]).join(),
  };
}
