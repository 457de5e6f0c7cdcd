import { typeError } from "../errors.ts";
import type { Region } from "../memory/region.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { checkInputs, type Reachable, selectOutputs } from "../protocol/call_parts.ts";
import { CallPins } from "../protocol/call_pins.ts";
import type { InferInput, InferOutput, RegionPart } from "../protocol/oip/infer_request.ts";
import type { InferResponse } from "../protocol/oip/infer_response.ts";
import { RemoteModel } from "../protocol/remote_model.ts";
import type { Port } from "../session/port.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import type { DType, NumericData } from "../tensor/dtype.ts";
import { heapFromNative, heapStorage, isTensor, makeTensor, shapeOf, storageOf } from "../tensor/internal.ts";
import type { SharedStorage } from "../tensor/shared_storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { collectAnswer } from "./http_results.ts";

/** A tensor that goes to the server. */
interface Fed {
  readonly name: string;
  readonly tensor: Tensor;
  /** Its memory, where the server may get to see it. */
  readonly shared: SharedStorage | undefined;
}

/** An output that is to come from the server. */
export interface Wanted {
  readonly name: string;
  /** What the server tells of it, if anything. */
  readonly port: Port | undefined;
  /** Where it is written to. */
  readonly target: Tensor | undefined;
  /** The target's memory, where the server may get to write it. */
  readonly shared: SharedStorage | undefined;
}

/** What a region is called at the server; `undefined` where it does not know it. */
export type RegionNames = (region: Region) => string | undefined;

const WITHOUT_JSON: readonly (DType | undefined)[] = ["float16", "bfloat16"];

/** A request over HTTP: its feeds and outputs, checked as a session checks them. */
export class HttpCall implements Disposable {
  /** The regions of named shared memory in which some of its tensors lie. */
  readonly regions: readonly Region[];
  readonly #remote: RemoteModel;
  readonly #fed: readonly Fed[];
  /** `undefined`: whatever the server has. */
  readonly #wanted: readonly Wanted[] | undefined;
  readonly #options: CallOptions;
  readonly #pins = new CallPins();
  readonly #fresh = new Set<Tensor>();
  #users = 1;

  /**
   * Checks feeds and outputs. Tensors of the heap are to be encoded at once, unless some lie in regions: then they are
   * copied here.
   *
   * @param told of which the server may tell no inputs or no outputs: then there is less to check
   * @throws as `InferenceSession.run`
   */
  constructor(told: RemoteModel, feeds: Feeds, options: CallOptions, isReachable: Reachable) {
    const remote = completed(told, feeds, options);
    const inputs = checkInputs(remote, feeds, isReachable, []);
    this.#remote = remote;
    this.#options = options;
    try {
      this.#wanted = wantedOutputs(remote, options, isReachable, this.#fresh);
      if (this.#wanted?.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
      for (const tensor of Object.values(feeds)) this.#pins.read(storageOf(tensor));
      for (const { name, target } of this.#wanted ?? []) if (target !== undefined) this.#pins.write(name, target);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    const shared = [...inputs, ...this.#wanted ?? []].flatMap(({ shared }) => shared?.held.region ?? []);
    this.regions = [...new Set(shared)];
    this.#fed = inputs.map(({ port: { name }, shared }) => {
      const tensor = feeds[name]!;
      return { name, tensor: this.regions.length > 0 ? snapshot(tensor) : tensor, shared };
    });
  }

  /** Refuses what has no form in JSON. @throws {TypeError} UNSUPPORTED */
  checkJson(): void {
    const fed = this.#fed.find(({ tensor }) => WITHOUT_JSON.includes(tensor.dtype));
    const wanted = this.#wanted?.find(({ port }) => WITHOUT_JSON.includes(port?.dtype));
    const dtype = fed?.tensor.dtype ?? wanted?.port?.dtype;
    if (dtype === undefined) return;
    const message = `Cannot ${fed ? `feed "${fed.name}"` : `fetch output "${wanted!.name}"`}: the server takes and ` +
      `gives JSON only, in which there is no ${dtype}`;
    throw typeError("UNSUPPORTED", message);
  }

  /** Its inputs, for the server. */
  inputs(nameOf: RegionNames): readonly InferInput[] {
    return this.#fed.map(({ name, tensor, shared }) => {
      const part = partOf(shared, nameOf);
      return { name, dtype: tensor.dtype, shape: shapeOf(tensor), tensor: part ? undefined : tensor, part };
    });
  }

  /** Its outputs, for the server; `undefined`: all. */
  outputs(nameOf: RegionNames, isBinary: boolean): readonly InferOutput[] | undefined {
    return this.#wanted?.map(({ name, shared }) => {
      const part = partOf(shared, nameOf);
      return { name, isBinary: isBinary && part === undefined, part };
    });
  }

  /** Whether a server that is asked so writes into memory of this process. */
  isWritten(nameOf: RegionNames): boolean {
    return this.#wanted?.some(({ shared }) => partOf(shared, nameOf) !== undefined) ?? false;
  }

  /** Makes tensors of what the server answered. @throws {WorkerError} WORKER_PROTOCOL @throws {RangeError} INVALID_SHAPE */
  collect(response: InferResponse, nameOf: RegionNames): Tensors {
    const isInPlace = ({ shared }: Wanted): boolean => partOf(shared, nameOf) !== undefined;
    const tensors = collectAnswer(this.#remote, this.#wanted, isInPlace, this.#options, response);
    this.#fresh.clear();
    return tensors;
  }

  /** Keeps the tensors that it uses until this is settled too. */
  keepUntil(settled: Promise<unknown>): void {
    this.#users++;
    const release = (): void => this[Symbol.dispose]();
    settled.then(release, release);
  }

  /** Lets go of the tensors that it uses, and of those that were made for it and not taken. */
  [Symbol.dispose](): void {
    if (--this.#users > 0) return;
    this.#pins.release();
    for (const tensor of this.#fresh) tensor[Symbol.dispose]();
  }
}

/** A model with what a request says of inputs or outputs, where its server tells nothing of them. */
function completed(told: RemoteModel, feeds: Feeds, { outputs }: CallOptions): RemoteModel {
  const { inputs, outputs: known } = told.description, given = isGiven(outputs) ? outputs : {};
  if (inputs.length > 0 && (known.length > 0 || outputs === undefined)) return told;
  return new RemoteModel({
    ...told.description,
    inputs: inputs.length > 0 ? inputs : infosOf(feeds ?? {}),
    outputs: known.length > 0 ? known : infosOf(given),
  });
}

function infosOf(tensors: Readonly<Record<string, Tensor>>): readonly ValueInfo[] {
  return Object.entries(tensors).map(([name, tensor]) => {
    const dtype = isTensor(tensor) ? tensor.dtype : "float32"; // which is refused as no tensor, whatever its dtype
    return { name, kind: "tensor", dtype, shape: [] };
  });
}

const isGiven = (outputs: CallOptions["outputs"]): outputs is Record<string, Tensor> =>
  outputs !== undefined && !Array.isArray(outputs);

function wantedOutputs(
  remote: RemoteModel,
  options: CallOptions,
  isReachable: Reachable,
  fresh: Set<Tensor>,
): readonly Wanted[] | undefined {
  const { outputs } = options;
  if (remote.outputs.length > 0 || isGiven(outputs)) {
    return selectOutputs(remote, options, true, isReachable, fresh)
      .map(({ port, target, shared }) => ({ name: port.name, port, target, shared }));
  }
  return outputs?.map((name) => ({ name, port: undefined, target: undefined, shared: undefined }));
}

/** A copy of what may change before it is sent. */
function snapshot(tensor: Tensor): Tensor {
  const storage = storageOf(tensor), shape = shapeOf(tensor);
  if (storage.kind !== "heap") return tensor;
  if (tensor.dtype === "string") {
    return makeTensor("string", shape, heapStorage([...storage.data("string") as string[]]));
  }
  return heapFromNative(tensor.dtype, shape, storage.data(tensor.dtype) as NumericData);
}

function partOf(shared: SharedStorage | undefined, nameOf: RegionNames): RegionPart | undefined {
  if (shared === undefined || shared.byteLength === 0) return undefined;
  const { region, byteOffset, byteLength } = shared.held, name = nameOf(region);
  return name === undefined ? undefined : { region: name, byteOffset, byteLength };
}
