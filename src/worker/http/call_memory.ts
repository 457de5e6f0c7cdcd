import { MemoryError } from "../../errors.ts";
import { checkByteLength, decodeBinaryData, encodeBinaryData } from "../../protocol/oip/binary_data.ts";
import type { InferInput, InferOutput, InferRequest, RegionPart } from "../../protocol/oip/infer_request.ts";
import type { InferResponseOutput } from "../../protocol/oip/infer_response.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { RemoteModel } from "../../protocol/remote_model.ts";
import { refuseFeed } from "../../session/feed.ts";
import { checkShape } from "../../session/port.ts";
import type { DType } from "../../tensor/dtype.ts";
import { shapeOf } from "../../tensor/internal.ts";
import { SharedMemoryAllocator } from "../../tensor/shared_memory_allocator.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Call } from "./call.ts";
import type { ClientRegions } from "./client_regions.ts";
import { served } from "./region_calls.ts";

/** From so many bytes on, inputs are put where executors take them without another copy. */
const SHARED_FROM = 1 << 16;
/** Of an output that is answered as JSON, which takes several times as many. */
const MOST_JSON_BYTES: number = 16 << 20;

/** Where the inputs of one inference come from, and its outputs go. What it makes for that, it owns. */
export class CallMemory implements Disposable {
  readonly #call: Call;
  readonly #regions: ClientRegions | undefined;
  readonly #owned = new DisposableStack();

  /** Keeps the parts of regions that a request names. @throws {OipError} 501, 403; 404, 400 for what is not there */
  constructor(call: Call, regions: ClientRegions | undefined, { inputs, outputs = [] }: InferRequest) {
    this.#call = call;
    const parts = [...inputs, ...outputs].flatMap(({ part }) => part ?? []);
    if (parts.length === 0) return;
    this.#regions = served(regions, call);
    this.#owned.use(this.#regions.hold(parts));
  }

  /**
   * The tensor of an input. What is not in the body is copied once it is known to be what the model wants.
   *
   * @throws {OipError} 400; 503 where requests have too much already @throws {TypeError | RangeError} as a session
   */
  feed(remote: RemoteModel, input: InferInput): Tensor {
    const { name, dtype, shape, tensor, part } = input;
    if (part === undefined) return this.#shared(tensor!, () => encodeBinaryData(tensor!));
    const described = { what: `input "${name}"`, dtype, shape };
    checkPart(remote, input);
    checkByteLength(described, part.byteLength);
    this.#call.hold(part.byteLength);
    const shared = this.#makeShared(dtype, shape, part.byteLength);
    if (shared !== undefined) {
      this.#regions!.read(part, bytesOf(shared));
      return shared;
    }
    const bytes = new Uint8Array(part.byteLength);
    this.#regions!.read(part, bytes);
    return decodeBinaryData(described, bytes);
  }

  /** Brings an output to where it is wanted. @throws {OipError} 400 for one that does not fit */
  place({ name, isBinary, part }: InferOutput, tensor: Tensor): InferResponseOutput {
    const { dtype, byteLength } = tensor, shape = shapeOf(tensor);
    if (part !== undefined) {
      return { name, dtype, shape, tensor: undefined, isBinary, part: this.#write(name, tensor, part) };
    }
    if (isBinary || byteLength <= MOST_JSON_BYTES) return { name, dtype, shape, tensor, isBinary, part };
    const message = `Output "${name}" has ${byteLength} bytes, and may have ${MOST_JSON_BYTES} as JSON`;
    throw new OipError(400, `${message}: ask for binary data, binary_data`);
  }

  #write(name: string, tensor: Tensor, part: RegionPart): RegionPart {
    const bytes = encodeBinaryData(tensor), { length } = bytes;
    if (length > part.byteLength) {
      const message =
        `Output "${name}" has ${length} bytes, and its part of region "${part.region}" ${part.byteLength}`;
      throw new OipError(400, message);
    }
    const written = { ...part, byteLength: length };
    this.#regions!.write(written, bytes);
    return written;
  }

  /** A large tensor in shared memory: the lane that all callers have has no room for many. */
  #shared(tensor: Tensor, bytes: () => Uint8Array): Tensor {
    const shared = this.#makeShared(tensor.dtype, shapeOf(tensor), tensor.byteLength);
    if (shared === undefined) return tensor;
    bytesOf(shared).set(bytes());
    return shared;
  }

  /** `undefined` for what is small, or not as many bytes as elements say, and where there is no room. */
  #makeShared(dtype: DType, shape: readonly number[], byteLength: number): Tensor | undefined {
    if (dtype === "string" || dtype === "bool" || byteLength < SHARED_FROM) return undefined;
    this.#call.hold(byteLength);
    try {
      return this.#owned.use(SharedMemoryAllocator.default.tensor(dtype, shape));
    } catch (error) {
      if (error instanceof MemoryError) return undefined; // /dev/shm is full: it is copied once more
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

const bytesOf = (tensor: Tensor): Uint8Array => new Uint8Array((tensor.data as Uint8Array).buffer as ArrayBuffer);

/** Whether a tensor that is not there yet is what the model wants. */
function checkPart(remote: RemoteModel, { name, dtype, shape }: InferInput): void {
  const port = [...remote.inputs, ...remote.overridable].find((port) => port.name === name);
  if (port === undefined) return refuseFeed(remote, name, undefined, undefined);
  if (port.dtype !== dtype) throw new OipError(400, `Input "${name}" is of ${dtype}, and ${port.info.dtype} is wanted`);
  checkShape(port, shape);
}
