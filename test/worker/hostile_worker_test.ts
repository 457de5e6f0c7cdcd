import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { closeDescriptor, createMemoryDescriptor, createNameless, sealSize, setLength } from "../../ffi/descriptors.ts";
import {
  acceptWaiting,
  listenAt,
  receiveWithDescriptors,
  sendWithDescriptors,
  socketPair,
  untilReadable,
} from "../../ffi/unix_socket.ts";
import { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import { decodeJson, encodeJson, FRAME, type Frame, FrameReader } from "../../src/protocol/frames.ts";
import type { Welcome } from "../../src/protocol/hello.ts";
import { LANE_BYTE_LENGTH, PAGE_BYTE_LENGTH, PROTOCOL_VERSION } from "../../src/protocol/lane_layout.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { failure } from "../support/sessions.ts";
import { descriptorsOf, lanesOf, until } from "./children/helper.ts";

const PROTOCOL = failure("WorkerError", "WORKER_PROTOCOL"), TIMEOUT = failure("WorkerError", "WORKER_TIMEOUT");
const DIED = failure("WorkerError", "WORKER_DIED");
const WELCOME: Welcome = {
  protocol: PROTOCOL_VERSION,
  pid: process.pid,
  runtime: "fake",
  version: "1",
  client: 0,
  hasLane: false,
};
const MODEL = {
  index: 0,
  name: "add",
  version: "1",
  revision: 0,
  inputs: [{ name: "x", kind: "tensor", dtype: "float32", shape: [1] }],
  outputs: [{ name: "y", kind: "tensor", dtype: "float32", shape: [1] }],
  overridable: [],
  state: [],
};
const feeds = { x: Tensor.from(Float32Array.of(1)) };

/** Memory of a fixed size, as a worker passes it, unless it is to be another. */
function memory(byteLength: number, isSealed: boolean = true): number {
  const fd = createMemoryDescriptor("coload-fake");
  setLength(fd, byteLength);
  if (isSealed) sealSize(fd);
  return fd;
}

/** Listens, and answers each connection by hand. */
class FakeWorker implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly socket: string = this.#folder.join("worker.sock");
  readonly #fd: number = listenAt(this.socket);
  readonly #connections: number[] = [];
  #isOpen = true;

  /** @param serve what it does with a connection; when that ends, nothing more is said */
  constructor(serve: (connection: number, next: () => Promise<Frame>) => Promise<void> | void) {
    void this.#accept(serve);
  }

  async #accept(serve: ConstructorParameters<typeof FakeWorker>[0]): Promise<void> {
    while (this.#isOpen) {
      if (!await untilReadable(this.#fd, 50)) continue;
      const fd = acceptWaiting(this.#fd);
      if (fd === undefined) continue;
      this.#connections.push(fd);
      void this.#serve(fd, serve);
    }
    for (const fd of [this.#fd, ...this.#connections]) closeDescriptor(fd);
  }

  async #serve(fd: number, serve: ConstructorParameters<typeof FakeWorker>[0]): Promise<void> {
    const reader = new FrameReader(), frames: Frame[] = [];
    await serve(fd, async () => {
      while (frames.length === 0) {
        await untilReadable(fd, 5000);
        const received = receiveWithDescriptors(fd, 65_000);
        if (received?.bytes.length === 0) return await new Promise(() => {}); // the client is gone
        if (received) reader.push(received.bytes, (frame) => frames.push(frame));
      }
      return frames.shift()!;
    });
  }

  /** Ends one connection from this side. */
  end(fd: number): void {
    this.#connections.splice(this.#connections.indexOf(fd), 1);
    closeDescriptor(fd);
  }

  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#folder[Symbol.dispose]();
  }
}

const say = (fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): void =>
  sendWithDescriptors(fd, bytes, fds);
const welcome = (changed: Partial<Welcome> = {}): Uint8Array<ArrayBuffer> =>
  encodeJson(FRAME.welcome, 0, { ...WELCOME, ...changed });
const connect = (worker: FakeWorker): Promise<ModelClient> => ModelClient.connect(worker.socket, { timeoutMs: 400 });

describe("a worker that is none", () => {
  let held: number;
  const heldNow = (): number =>
    descriptorsOf(process.pid).filter((name) => /coload-fake|worker.sock/.test(name)).length;
  beforeEach(() => {
    held = heldNow();
  });
  afterEach(async () => {
    await until("nothing of it is left", () => heldNow() === held);
    assert.equal(lanesOf(process.pid), 0);
  });

  const greetings: readonly (readonly [what: string, bytes: Uint8Array<ArrayBuffer>, error: object])[] = [
    ["speaks another version", welcome({ protocol: 2 }), PROTOCOL],
    ["says garbage", new Uint8Array(64).fill(7), PROTOCOL],
    ["says what is no welcome", encodeJson(FRAME.result, 0, {}), PROTOCOL],
    ["says welcome without what it must say", encodeJson(FRAME.welcome, 0, { protocol: PROTOCOL_VERSION }), PROTOCOL],
    ["says more than a welcome", Uint8Array.of(...welcome(), ...welcome()), PROTOCOL],
    ["says a part of a welcome", welcome().slice(0, 20), TIMEOUT],
    ["promises memory that does not come", welcome({ hasLane: true }), PROTOCOL],
    [
      "refuses",
      encodeJson(FRAME.error, 0, { name: "WorkerError", code: "WORKER_BUSY", message: "no" }),
      failure("WorkerError", "WORKER_BUSY"),
    ],
  ];
  for (const [what, bytes, error] of greetings) {
    it(`and ${what} is refused`, async () => {
      using worker = new FakeWorker(async (fd, next) => {
        await next();
        say(fd, bytes);
      });
      await assert.rejects(connect(worker), error);
    });
  }

  it("and says nothing is given up in time", async () => {
    using worker = new FakeWorker(() => {});
    await assert.rejects(connect(worker), TIMEOUT);
  });

  it("and goes before it greets is not there", async () => {
    using worker: FakeWorker = new FakeWorker(async (fd, next) => {
      await next();
      worker.end(fd);
    });
    await assert.rejects(connect(worker), failure("WorkerError", "WORKER_UNAVAILABLE"));
  });

  const passed: readonly (readonly [what: string, make: () => number[]])[] = [
    ["too few files", () => [memory(PAGE_BYTE_LENGTH), memory(LANE_BYTE_LENGTH)]],
    ["too many files", () => [...new Array(4)].map(() => memory(PAGE_BYTE_LENGTH))],
    ["a page that is too short", () => [memory(64), memory(LANE_BYTE_LENGTH), ...socketPair()]],
    ["a lane that is too short", () => [memory(PAGE_BYTE_LENGTH), memory(4096), ...socketPair()]],
    ["a lane that is too long", () => [memory(PAGE_BYTE_LENGTH), memory(2 * LANE_BYTE_LENGTH), ...socketPair()]],
    ["a lane that can be cut", () => [memory(PAGE_BYTE_LENGTH), memory(LANE_BYTE_LENGTH, false), ...socketPair()]],
    ["a page that can be cut", () => [memory(PAGE_BYTE_LENGTH, false), memory(LANE_BYTE_LENGTH), ...socketPair()]],
    ["files of the disk", () => [1, 2, 3].map(() => createNameless(tmpdir()))],
    ["sockets", () => [...socketPair(), ...socketPair()].slice(0, 4)],
  ];
  for (const [what, make] of passed) {
    it(`and passes ${what} is refused`, async () => {
      using worker = new FakeWorker(async (fd, next) => {
        await next();
        const fds = make(), isPair = what.includes("page") || what.includes("lane");
        say(fd, welcome({ hasLane: true }), isPair ? fds.slice(0, 3) : fds);
        for (const passed of fds) closeDescriptor(passed);
      });
      await assert.rejects(connect(worker), PROTOCOL);
    });
  }

  it("and passes memory that nobody asked for is refused", async () => {
    using worker = new FakeWorker(async (fd, next) => {
      await next();
      const page = memory(PAGE_BYTE_LENGTH);
      say(fd, welcome(), [page]);
      closeDescriptor(page);
    });
    await assert.rejects(connect(worker), PROTOCOL);
  });

  /** Greets, answers what a model is like, and then does something else. */
  const after = (what: (fd: number, next: () => Promise<Frame>) => Promise<void> | void): FakeWorker =>
    new FakeWorker(async (fd, next) => {
      await next();
      say(fd, welcome());
      const { id, body } = await next();
      assert.equal(decodeJson(body).method, "model");
      say(fd, encodeJson(FRAME.result, id, { result: MODEL }));
      await what(fd, next);
    });

  it("and never answers a question is given up in time", { timeout: 20_000 }, async () => {
    using worker = new FakeWorker(async (fd, next) => {
      await next();
      say(fd, welcome());
    });
    await using client = await connect(worker);
    await assert.rejects(client.infer("add", feeds), TIMEOUT);
    await assert.rejects(client.model("add"), TIMEOUT);
  });

  it("and never answers a request is given up in time", { timeout: 20_000 }, async () => {
    using worker = after(() => {});
    await using client = await connect(worker);
    await assert.rejects(client.infer("add", feeds), TIMEOUT);
  });

  const answers: readonly (readonly [what: string, answer: (id: number) => Uint8Array<ArrayBuffer>])[] = [
    ["answers nobody", (id) => encodeJson(FRAME.result, id + 7, { result: 1 })],
    ["answers with garbage", () => new Uint8Array(100).fill(1)],
    ["answers with no tensors", (id) => encodeJson(FRAME.outputs, id, {})],
    ["answers by another kind of frame", (id) => encodeJson(FRAME.result, id, { result: {} })],
    ["answers as a client", (id) => encodeJson(FRAME.call, id, { method: "health" })],
  ];
  for (const [what, answer] of answers) {
    it(`and ${what} has broken the protocol`, { timeout: 20_000 }, async () => {
      using worker = after(async (fd, next) => say(fd, answer((await next()).id)));
      await using client = await connect(worker);
      await assert.rejects(client.infer("add", feeds), PROTOCOL);
    });
  }

  it("and goes with a request unanswered has died", { timeout: 20_000 }, async () => {
    using worker: FakeWorker = after(async (fd, next) => {
      await next();
      worker.end(fd);
    });
    await using client = await connect(worker);
    await assert.rejects(client.infer("add", feeds), DIED);
  });

  it("and describes a model that cannot be has broken the protocol", { timeout: 20_000 }, async () => {
    for (const result of [null, 7, {}, { ...MODEL, inputs: 7 }, { ...MODEL, outputs: [null] }]) {
      using worker = new FakeWorker(async (fd, next) => {
        await next();
        say(fd, welcome());
        say(fd, encodeJson(FRAME.result, (await next()).id, { result }));
      });
      await using client = await connect(worker);
      await assert.rejects(client.infer("add", feeds), PROTOCOL);
    }
  });
});
