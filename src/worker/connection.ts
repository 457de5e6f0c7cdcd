import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import config from "../../deno.json" with { type: "json" };
import { ffi } from "../../ffi/mod.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { type Peer, sendWithDescriptors } from "../../ffi/unix_socket.ts";
import { typeError, WorkerError } from "../errors.ts";
import { checkHello, type Hello, HELLO_MS, type Welcome } from "../protocol/hello.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import {
  decodeJson,
  decodeTensors,
  encodeFrame,
  encodeJson,
  encodeTensors,
  FRAME,
  type Frame,
  violation,
} from "../protocol/frames.ts";
import { PROTOCOL_VERSION, SLOTS } from "../protocol/lane_layout.ts";
import { diedError, PeerStream } from "../protocol/peer_stream.ts";
import { errorMessage } from "../protocol/remote_error.ts";
import { RemoteModel } from "../protocol/remote_model.ts";
import type { ClientStatus, WorkerStatus } from "../protocol/status.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Lane, Lanes } from "./lanes.ts";
import { type LocalLane, openLocalLane } from "./local_lane.ts";
import type { ServedModels } from "./served_models.ts";

/** What connections have in common. */
export interface Service {
  readonly lanes: Lanes;
  readonly models: ServedModels;
  /** Where the worker's page lies, and its file where it has one. */
  readonly page: { readonly address: bigint; readonly fd: number | undefined };
  readonly isDraining: boolean;
  status(): WorkerStatus;
}

/** Bytes of inferences of one connection that are not answered yet, at most. */
const MOST_BYTES_HELD: number = 512 << 20;

/** One client's connection, and all that the worker has for it. */
export class Connection {
  readonly #fd: number;
  readonly #peer: Peer;
  readonly #service: Service;
  readonly #closed: () => void;
  readonly #connectedAt = Date.now();
  readonly #greeting: ReturnType<typeof setTimeout>;
  readonly #inferences = new Map<number, AbortController>();
  #bytesHeld = 0;
  #isOver = false;
  #stream: PeerStream | undefined;
  #hello: Hello | undefined;
  #lane: (Lane & { close(): Promise<void> }) | undefined;
  #local: Promise<LocalLane> | undefined;
  #client = -1;

  private constructor(fd: number, peer: Peer, service: Service, closed: () => void) {
    this.#fd = fd;
    this.#peer = peer;
    this.#service = service;
    this.#closed = closed;
    const late = (): void => this.#stream?.close(violation(`no hello within ${HELLO_MS} ms`));
    this.#greeting = setTimeout(late, HELLO_MS).unref();
  }

  /** Serves a connection that was accepted, and owns its descriptor. @param closed called once, when it is over */
  static async open(fd: number, peer: Peer, service: Service, closed: () => void): Promise<Connection> {
    const connection = new Connection(fd, peer, service, closed);
    connection.#stream = await PeerStream.open(fd, {
      frame: (frame) => connection.#take(frame),
      closed: () => connection.#end(),
    });
    return connection;
  }

  /** `undefined` before it has said hello. */
  get status(): Omit<ClientStatus, "queued"> | undefined {
    if (this.#hello === undefined) return undefined;
    const { name, runtime } = this.#hello, sharesMemory = this.#lane !== undefined;
    return { id: this.#client, pid: this.#peer.pid, name, runtime, sharesMemory, connectedAt: this.#connectedAt };
  }

  /** Whether inferences that came as bytes are not answered yet. */
  get isBusy(): boolean {
    return this.#inferences.size > 0;
  }

  /** Ends it. */
  close(): void {
    this.#stream?.close();
  }

  #take({ type, id, body }: Frame): void {
    if (this.#hello === undefined) {
      if (type !== FRAME.hello) throw violation("a hello wanted as the first frame");
      return this.#greet(decodeJson(body));
    }
    if (type === FRAME.call) void this.#call(id, decodeJson(body));
    else if (type === FRAME.infer) this.#infer(id, body);
    else if (type === FRAME.cancel) this.#cancel(decodeJson(body));
    else throw violation(`a frame of type ${type} is none of a client's`);
  }

  #greet(found: Record<string, unknown>): void {
    clearTimeout(this.#greeting);
    try {
      this.#hello = checkHello(found);
      if (this.#service.isDraining) throw new WorkerError("WORKER_UNAVAILABLE", "The worker takes no more clients");
      const fds = this.#hello.sharesMemory ? this.#openLane() : [];
      if (this.#lane === undefined) this.#client = nextBytesClient++;
      const welcome: Welcome = {
        protocol: PROTOCOL_VERSION,
        pid: process.pid,
        runtime: ffi.runtime,
        version: config.version,
        client: this.#client,
        hasLane: fds.length > 0,
      };
      sendWithDescriptors(this.#fd, encodeJson(FRAME.welcome, 0, welcome), fds);
      this.#lane?.bell[Symbol.dispose]();
    } catch (error) {
      this.#stream?.send(encodeJson(FRAME.error, 0, errorMessage(error)));
      throw error;
    }
  }

  /** The descriptors of what is shared; none where memory cannot be. */
  #openLane(): number[] {
    const { lanes, page } = this.#service;
    if (page.fd === undefined) return [];
    try {
      this.#lane = lanes.open(true, this.#peer.pid);
    } catch (error) {
      if (error instanceof SystemFailure) return [];
      throw error;
    }
    this.#client = this.#lane.client;
    return [page.fd, this.#lane.pages.fd!, this.#lane.bell.fd];
  }

  async #call(id: number, { method, params }: Record<string, unknown>): Promise<void> {
    try {
      const result = await this.#answer(method, (params ?? {}) as Record<string, unknown>);
      this.#stream!.send(encodeJson(FRAME.result, id, { result }));
    } catch (error) {
      this.#stream!.send(encodeJson(FRAME.error, id, errorMessage(error)));
    }
  }

  async #answer(method: unknown, params: Record<string, unknown>): Promise<unknown> {
    const { models, isDraining } = this.#service;
    if (method === "health") return !isDraining;
    if (method === "status") return this.#service.status();
    if (method === "reload") return await models.reload();
    if (method !== "model") throw violation(`there is no method ${JSON.stringify(method)}`);
    const { name, version } = params;
    if (typeof name !== "string" || (version !== undefined && typeof version !== "string")) {
      throw typeError("INVALID_ARGUMENT", "The name of a model wanted, and its version if any");
    }
    return await models.describe(models.find(name, version as string | undefined));
  }

  #cancel({ slot, sequence, id }: Record<string, unknown>): void {
    if (typeof id === "number") return this.#inferences.get(id)?.abort();
    const isSlot = Number.isInteger(slot) && (slot as number) >= 0 && (slot as number) < SLOTS;
    if (!isSlot || !Number.isInteger(sequence)) throw violation("a cancellation of nothing");
    if (this.#lane) this.#service.lanes.cancel(this.#client, slot as number, sequence as number);
  }

  #infer(id: number, body: Uint8Array<ArrayBuffer>): void {
    if (this.#inferences.has(id)) throw violation(`two inferences ${id} at once`);
    const { about, tensors } = decodeTensors(body), controller = new AbortController();
    if (this.#bytesHeld + body.length > MOST_BYTES_HELD) {
      const busy = new WorkerError("WORKER_BUSY", `At most ${MOST_BYTES_HELD} bytes of one connection at once`);
      return this.#stream!.send(encodeJson(FRAME.error, id, errorMessage(busy)));
    }
    this.#bytesHeld += body.length;
    this.#inferences.set(id, controller);
    void this.#runBytes(about, tensors, controller.signal).then(
      (bytes) => this.#stream!.send(encodeFrame(FRAME.outputs, id, bytes)),
      (error) => this.#stream!.send(encodeJson(FRAME.error, id, errorMessage(error))),
    ).finally(() => {
      this.#bytesHeld -= body.length;
      this.#inferences.delete(id);
    });
  }

  async #runBytes(
    about: Record<string, unknown>,
    tensors: Record<string, Tensor>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { models, lanes, page, isDraining } = this.#service, { model, version, outputs, options } = about;
    if (isDraining) throw new WorkerError("WORKER_UNAVAILABLE", "The worker takes no more requests");
    if (this.#inferences.size > 2 * SLOTS) {
      throw new WorkerError("WORKER_BUSY", `At most ${2 * SLOTS} inferences of one connection at once`);
    }
    const entry = models.find(String(model), version as string | undefined);
    const remote = new RemoteModel(await models.describe(entry));
    if (this.#isOver) throw diedError();
    this.#local ??= openLocalLane(lanes, page.address).catch((error) => {
      this.#local = undefined; // the next one may find a place
      throw error;
    });
    const { caller } = await this.#local;
    const { timeoutMs, queueTimeoutMs, priority, sequence } = (options ?? {}) as CallOptions;
    const wanted = { outputs: outputs as string[] | undefined, timeoutMs, queueTimeoutMs, priority, sequence, signal };
    const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined)) as CallOptions;
    const results = await caller.run(remote, tensors, given);
    return encodeTensors({}, results);
  }

  #end(): void {
    clearTimeout(this.#greeting);
    this.#isOver = true;
    for (const controller of this.#inferences.values()) controller.abort();
    this.#lane?.bell[Symbol.dispose]();
    this.#lane?.close().catch(() => {}); // of a worker that failed
    this.#local?.then((local) => local[Symbol.asyncDispose]()).catch(() => {});
    this.#closed();
  }
}

/** Numbers of clients that have no lane: apart from those of lanes. */
let nextBytesClient = 1000;
