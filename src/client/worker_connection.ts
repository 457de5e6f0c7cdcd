import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { closeDescriptor, isSizeSealed, statusOf } from "../../ffi/descriptors.ts";
import { ffi, type Stream } from "../../ffi/mod.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import { ERRNO, SystemFailure } from "../../ffi/system_failure.ts";
import { connectTo, isHungUp, receiveWithDescriptors, sendNow, untilReadable } from "../../ffi/unix_socket.ts";
import { WorkerError } from "../errors.ts";
import { decodeJson, encodeFrame, encodeJson, FRAME, type Frame, FrameReader, violation } from "../protocol/frames.ts";
import { checkWelcome, HELLO_MS, makeHello, type Welcome } from "../protocol/hello.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { ClientLane } from "../protocol/client_lane.ts";
import { LaneCaller } from "../protocol/lane_caller.ts";
import { LANE_BYTE_LENGTH, PAGE_BYTE_LENGTH } from "../protocol/lane_layout.ts";
import { diedError, PeerStream } from "../protocol/peer_stream.ts";
import { remoteError } from "../protocol/remote_error.ts";
import { Turns } from "../protocol/turns.ts";
import { timeLimit } from "../protocol/time_limit.ts";
import { checkOwner, greetingFailure } from "./worker_socket.ts";

/** How long to wait before a socket is tried again that too many connect to, in ms. */
const CROWDED_MS = 5;
/** Bytes that a worker's first words have at most. */
const MOST_WELCOME_BYTES = 16384;

/** Inferences by bytes in flight; more wait their turn. */
const MOST_INFERENCES = 128;

interface Pending {
  resolve(frame: Frame): void;
  reject(error: Error): void;
}

/** What connections are made with. */
export interface ConnectionOptions {
  readonly sharesMemory: boolean;
  readonly name: string;
}

/** A connection to a worker. When it is over it stays so: a new one is made. */
export class WorkerConnection {
  readonly welcome: Welcome;
  /** The lane; `undefined` where tensors go as bytes. */
  readonly caller: LaneCaller | undefined;
  readonly #fd: number;
  readonly #pending = new Map<number, Pending>();
  readonly #resources: readonly Disposable[];
  #stream: PeerStream | undefined;
  #bell: Stream | undefined;
  #lastId = 0;
  #inferences = 0;
  readonly #turns = new Turns();
  #failure: WorkerError | undefined;

  private constructor(fd: number, welcome: Welcome, memory: Mapped | undefined) {
    this.#fd = fd;
    this.welcome = welcome;
    this.#resources = memory?.resources ?? [];
    if (memory === undefined) return;
    const lane = new ClientLane({ lane: memory.lane, page: memory.page, client: welcome.client, fd: memory.laneFd });
    this.caller = new LaneCaller(lane, {
      cancel: (slot, sequence) => this.#stream?.send(encodeJson(FRAME.cancel, 0, { slot, sequence })),
      isGone: () => {
        if (isHungUp(this.#fd)) this.close(diedError());
        return this.#failure !== undefined;
      },
      hold: (isBusy) => this.#hold(isBusy),
      mayLook: () => false,
    });
  }

  /**
   * Connects to the worker at a path.
   *
   * @throws {WorkerError} WORKER_UNAVAILABLE where none answers, or it is of another user; WORKER_PROTOCOL where it speaks another protocol;
   * WORKER_BUSY where it has too many clients; WORKER_TIMEOUT
   */
  static async open(socket: string, options: ConnectionOptions, timeoutMs: number): Promise<WorkerConnection> {
    const deadline = performance.now() + Math.min(timeoutMs, HELLO_MS), fd = await connect(socket, deadline);
    let received: readonly number[] = [];
    try {
      checkOwner(fd, socket);
      const greeting = await greet(fd, options, deadline);
      received = greeting.fds;
      const memory = greeting.welcome.hasLane ? mapLane(received) : undefined;
      received = []; // they have owners
      const connection = new WorkerConnection(fd, greeting.welcome, memory);
      await connection.#start(memory?.bell);
      return connection;
    } catch (error) {
      closeDescriptor(fd);
      for (const fd of received) closeDescriptor(fd);
      throw greetingFailure(socket, error);
    }
  }

  /** Why it is over; `undefined` while it is not. */
  get failure(): WorkerError | undefined {
    return this.#failure;
  }

  /** Whether the worker takes no more requests. */
  get isDraining(): boolean {
    return this.caller?.isDraining ?? false;
  }

  /** Calls a method of the worker. @throws {WorkerError} WORKER_DIED; what the worker answers */
  async call(method: string, params: Record<string, unknown> = {}, signal?: AbortSignal): Promise<unknown> {
    const { body } = await this.#request((id) => encodeJson(FRAME.call, id, { method, params }), signal);
    return decodeJson(body).result;
  }

  /** Runs a model whose tensors go as bytes, and resolves with those of its outputs. @throws as {@linkcode WorkerConnection.call} */
  async infer(body: Uint8Array, { signal, timeoutMs }: CallOptions): Promise<Uint8Array<ArrayBuffer>> {
    const request = (stop?: AbortSignal): Promise<Frame> =>
      this.#request((id) => encodeFrame(FRAME.infer, id, body), stop);
    using limit = timeoutMs === undefined ? undefined : timeLimit(timeoutMs, signal);
    const stop = limit?.signal ?? signal;
    while (this.#inferences >= MOST_INFERENCES && !this.#failure) await this.#turns.wait(stop);
    this.#inferences++;
    try {
      return (await request(stop)).body;
    } finally {
      this.#inferences--;
      this.#turns.pass();
    }
  }

  /** Ends it: what is in flight fails. */
  close(reason: WorkerError = new WorkerError("WORKER_UNAVAILABLE", "The client was closed")): void {
    this.#fail(reason);
    this.#stream?.close();
  }

  async #start(bell: number | undefined): Promise<void> {
    if (bell !== undefined) {
      const heard = (): void => this.caller!.heard();
      this.#bell = await ffi.stream(bell, { bytes: heard, drained() {}, closed() {} });
    }
    this.#stream = await PeerStream.open(this.#fd, {
      frame: (frame) => this.#take(frame),
      closed: (reason) => this.#fail(reason instanceof WorkerError ? reason : diedError({ cause: reason })),
    });
  }

  #take(frame: Frame): void {
    const pending = this.#pending.get(frame.id);
    if (frame.type === FRAME.error && frame.id === 0) {
      const error = remoteError(decodeJson(frame.body));
      return this.close(error instanceof WorkerError ? error : diedError({ cause: error }));
    }
    if (pending === undefined) throw violation(`an answer to nothing, ${frame.id}`);
    this.#pending.delete(frame.id);
    if (this.#pending.size === 0) this.#hold(false);
    if (frame.type !== FRAME.error) return pending.resolve(frame);
    pending.reject(remoteError(decodeJson(frame.body)));
  }

  #request(encode: (id: number) => Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<Frame> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#lastId = this.#lastId % (2 ** 32 - 1) + 1;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#stream!.send(encodeJson(FRAME.cancel, 0, { id }));
        this.#pending.set(id, { resolve() {}, reject() {} }); // the answer that is still to come
        reject(signal!.reason);
      };
      const done = (): void => signal?.removeEventListener("abort", abort);
      this.#pending.set(id, {
        resolve(frame) {
          done();
          resolve(frame);
        },
        reject(error) {
          done();
          reject(error);
        },
      });
      this.#hold(true);
      signal?.addEventListener("abort", abort);
      this.#stream!.send(encode(id));
    });
  }

  #hold(isBusy: boolean): void {
    if (isBusy || (this.#pending.size === 0 && (this.caller?.inFlight ?? 0) === 0)) this.#stream?.hold(isBusy);
  }

  #fail(error: WorkerError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.caller?.fail(error);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#turns.end();
    this.#bell?.close();
    setImmediate(() => { // who has an answer has read it by then
      for (const resource of this.#resources) resource[Symbol.dispose]();
    });
  }
}

async function connect(socket: string, deadline: number): Promise<number> {
  for (;;) {
    try {
      return connectTo(socket);
    } catch (error) {
      const isCrowded = error instanceof SystemFailure && error.errno === ERRNO.EAGAIN;
      if (!isCrowded || performance.now() > deadline) throw greetingFailure(socket, error);
      await sleep(CROWDED_MS);
    }
  }
}

interface Greeting {
  readonly welcome: Welcome;
  readonly fds: readonly number[];
}

/** Says hello, and takes the worker's first words with the descriptors that come with them. */
async function greet(fd: number, { sharesMemory, name }: ConnectionOptions, deadline: number): Promise<Greeting> {
  const bytes = encodeJson(FRAME.hello, 0, makeHello(sharesMemory, name));
  if (sendNow(fd, bytes) !== bytes.length) throw violation("it does not take a hello");
  const reader = new FrameReader(MOST_WELCOME_BYTES), fds: number[] = [], frames: Frame[] = [];
  try {
    while (frames.length === 0) {
      const rest = deadline - performance.now();
      if (rest <= 0 || !await untilReadable(fd, Math.ceil(rest))) {
        throw new WorkerError("WORKER_TIMEOUT", "The worker did not answer a hello in time");
      }
      const received = receiveWithDescriptors(fd, MOST_WELCOME_BYTES);
      if (received === undefined) continue;
      fds.push(...received.fds);
      if (received.bytes.length === 0) throw diedError();
      reader.push(received.bytes, (frame) => frames.push(frame));
    }
    const [{ type, body }, ...others] = frames as [Frame, ...Frame[]];
    if (type === FRAME.error) throw remoteError(decodeJson(body));
    if (type !== FRAME.welcome || others.length > 0) throw violation("a welcome wanted as the first frame");
    const welcome = checkWelcome(decodeJson(body));
    if (fds.length !== (welcome.hasLane ? 3 : 0)) throw violation(`a welcome with ${fds.length} descriptors`);
    return { welcome, fds };
  } catch (error) {
    for (const fd of fds) closeDescriptor(fd);
    throw error;
  }
}

/** What is mapped of a worker. */
interface Mapped {
  readonly page: bigint;
  readonly lane: bigint;
  readonly laneFd: number;
  readonly bell: number;
  readonly resources: readonly Disposable[];
}

/** Maps the page and the lane, whose size nobody can change. @throws {WorkerError} WORKER_PROTOCOL */
function mapLane([page, lane, bell]: readonly number[]): Mapped {
  for (const [fd, byteLength] of [[page!, PAGE_BYTE_LENGTH], [lane!, LANE_BYTE_LENGTH]] as const) {
    const { regular, byteLength: found } = statusOf(fd);
    if (regular && found === byteLength && isSizeSealed(fd)) continue;
    throw violation(`memory of ${byteLength} bytes and a fixed size wanted, ${found} bytes found`);
  }
  const pageMapping = new SharedMapping(page!, 0, PAGE_BYTE_LENGTH, "shared");
  const laneMapping = new SharedMapping(lane!, 0, LANE_BYTE_LENGTH, "shared");
  const close = (mapping: SharedMapping): Disposable => ({ [Symbol.dispose]: () => mapping.close() });
  const laneFile = new OwnedDescriptor(lane!);
  closeDescriptor(page!);
  return {
    page: pageMapping.address,
    lane: laneMapping.address,
    laneFd: lane!,
    bell: bell!,
    resources: [close(pageMapping), close(laneMapping), laneFile],
  };
}
