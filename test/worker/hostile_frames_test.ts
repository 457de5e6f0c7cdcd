import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { closeDescriptor } from "../../ffi/descriptors.ts";
import { connectTo, isHungUp, receiveWithDescriptors, untilReadable } from "../../ffi/unix_socket.ts";
import { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import { decodeJson, encodeFrame, encodeJson, FRAME, type Frame, FrameReader } from "../../src/protocol/frames.ts";
import { HELLO_MS } from "../../src/protocol/hello.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { writtenBytes } from "../support/memory.ts";
import { descriptorsOf, Helper, lanesOf, until, WorkerProcess } from "./children/helper.ts";
import { writeModels } from "./children/models.ts";
import { HELLO, sendAll } from "./children/raw_client.ts";

const SEED = Number(process.env.COLOAD_SEED ?? 1);
const FRAMES = Number(process.env.COLOAD_FRAMES ?? 3_000);
/** Descriptors of threads that the runtime or the pool starts when they are first needed. */
const COME_LATER = 4;
const MOST_GROWTH = 512 << 20;
const hello = encodeJson(FRAME.hello, 0, { ...HELLO, sharesMemory: false });

const feeds = (last: number): { a: Tensor; b: Tensor } => ({
  a: Tensor.from(Float32Array.of(1, 2, 3, last)),
  b: Tensor.from(Float32Array.of(10, 20, 30, 40)),
});

/** Has good clients ask until they are told to stop. Resolves with how often they were answered. */
async function askMeanwhile(clients: readonly ModelClient[], stopped: () => boolean): Promise<number> {
  let answers = 0;
  for (; !stopped(); answers++) {
    for (const client of clients) {
      const { c } = await client.infer("add", feeds(answers), { timeoutMs: 20_000 });
      assert.deepEqual([...c!.as("float32").data], [11, 22, 33, answers + 40]);
    }
  }
  return answers;
}

describe("connections that do not keep to the protocol", () => {
  let folder: TemporaryFolder, worker: WorkerProcess, clients: ModelClient[], held: number, lanes: number;
  const heldNow = (): number => descriptorsOf(worker.pid).filter((name) => /coload-lane|socket/.test(name)).length;

  before(async () => {
    folder = new TemporaryFolder();
    worker = await WorkerProcess.start({ models: writeModels(folder, ["add"]), executors: 2 });
    const connect = (sharedMemory: boolean): Promise<ModelClient> =>
      ModelClient.connect(worker.socket, { sharedMemory });
    clients = [await connect(true), await connect(false)];
    await using warm = new Helper("./hostile_frames.ts", [worker.socket, SEED, 100]); // threads that come once
    assert.equal((await warm.ended).code, 0);
    await until("its lanes are gone", () => lanesOf(worker.pid) === 1);
    held = heldNow();
    lanes = lanesOf(worker.pid);
  });
  after(async () => {
    for (const client of clients) await client[Symbol.asyncDispose]();
    assert.deepEqual(await worker.exit(), { code: 0, signal: null, stderr: "" });
    await worker[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  /** That nothing is left of anybody but the good clients. */
  async function assertNothingLeft(): Promise<void> {
    await until("their lanes are gone", () => lanesOf(worker.pid) <= lanes);
    await until("their descriptors are closed", () => heldNow() <= held + COME_LATER);
    await until("none of them is a client", async () => (await clients[0]!.status()).clients.length === clients.length);
  }

  it(`hurt nobody with ${FRAMES} wrong frames`, { timeout: 60_000 + FRAMES * 5 }, async () => {
    const memory = writtenBytes(worker.pid);
    let isOver = false;
    const honest = askMeanwhile(clients, () => isOver);
    honest.catch(() => {}); // seen below
    await using hostile = new Helper("./hostile_frames.ts", [worker.socket, SEED, FRAMES]);
    const tally = await hostile.next<{ frames: number; connections: number; closed: number }>();
    isOver = true;
    assert.equal((await hostile.ended).code, 0);
    if (process.env.COLOAD_FRAMES) console.log(tally);
    assert.ok(tally.frames >= FRAMES && tally.closed > 0);
    assert.ok(await honest > 0);
    await assertNothingLeft();
    assert.ok(writtenBytes(worker.pid) - memory < MOST_GROWTH, `${writtenBytes(worker.pid) - memory}`);
  });

  it("may go as soon as they have come", async () => {
    for (let i = 0; i < 2000; i++) closeDescriptor(await connectedTo(worker.socket));
    await assertNothingLeft();
  });

  it("may go in the middle of a run", async () => {
    for (let i = 0; i < 50; i++) {
      const client = await ModelClient.connect(worker.socket, { sharedMemory: i % 2 === 0 });
      const runs = Array.from({ length: 4 }, () => client.infer("add", feeds(i)));
      await client[Symbol.asyncDispose]();
      for (const run of runs) await run.catch((error) => assert.equal(error.code, "WORKER_UNAVAILABLE"));
    }
    await assertNothingLeft();
  });

  it("are closed when they say nothing", { timeout: 60_000 }, async () => {
    const fd = connectTo(worker.socket), start = performance.now();
    assert.ok(await untilReadable(fd, 4 * HELLO_MS));
    assert.equal(receiveWithDescriptors(fd, 1024)!.bytes.length, 0);
    assert.ok(performance.now() - start > HELLO_MS - 500);
    closeDescriptor(fd);
    await assertNothingLeft();
  });

  const closing: readonly (readonly [what: string, frame: Uint8Array<ArrayBuffer>])[] = [
    ["say hello twice", hello],
    ["speak as a worker", encodeJson(FRAME.welcome, 0, {})],
    ["answer what nobody asked", encodeJson(FRAME.result, 1, { result: 1 })],
    ["send outputs", encodeFrame(FRAME.outputs, 1, new Uint8Array(0))],
    ["send no tensors", encodeFrame(FRAME.infer, 1, new Uint8Array(0))],
    ["call what is no object", encodeFrame(FRAME.call, 1, new TextEncoder().encode("[]"))],
    ["cancel nothing", encodeJson(FRAME.cancel, 0, {})],
    ["cancel a slot that there is not", encodeJson(FRAME.cancel, 0, { slot: 128, sequence: 1 })],
  ];
  for (const [what, frame] of closing) {
    it(`are closed when they ${what}`, async () => {
      const fd = connectTo(worker.socket);
      await sendAll(fd, Uint8Array.of(...hello, ...frame));
      while (!isHungUp(fd)) await untilReadable(fd, 1000);
      closeDescriptor(fd);
      await assertNothingLeft();
    });
  }

  it("are told of another version, and closed", async () => {
    const fd = connectTo(worker.socket), frames: Frame[] = [], reader = new FrameReader();
    await sendAll(fd, encodeJson(FRAME.hello, 0, { ...HELLO, oldest: 7, protocol: 9 }));
    for (let isOpen = true; isOpen;) {
      assert.ok(await untilReadable(fd, 10_000));
      const { bytes } = receiveWithDescriptors(fd, 4096)!;
      reader.push(bytes, (frame) => frames.push(frame));
      isOpen = bytes.length > 0;
    }
    closeDescriptor(fd);
    assert.deepEqual(frames.map(({ type, id }) => [type, id]), [[FRAME.error, 0]]);
    assert.equal(decodeJson(frames[0]!.body).code, "WORKER_PROTOCOL");
  });

  it("are not closed for a call that cannot be done", async () => {
    const fd = connectTo(worker.socket), frames: Frame[] = [], reader = new FrameReader();
    const calls = [{ method: "x" }, { method: 7, params: 7 }, {}, { method: "model", params: { name: 7 } }];
    const frame = calls.flatMap((call, i) => [...encodeJson(FRAME.call, i, call)]);
    await sendAll(fd, Uint8Array.of(...hello, ...frame));
    while (frames.length < 1 + calls.length) {
      assert.ok(await untilReadable(fd, 10_000));
      reader.push(receiveWithDescriptors(fd, 4096)!.bytes, (frame) => frames.push(frame));
    }
    assert.deepEqual(frames.map(({ type }) => type), [FRAME.welcome, ...calls.map(() => FRAME.error)]);
    assert.ok(!isHungUp(fd));
    closeDescriptor(fd);
  });

  it("that read none of their answers do not hold others up", async () => {
    const fds = Array.from({ length: 2 }, () => connectTo(worker.socket));
    const status = encodeJson(FRAME.call, 1, { method: "status" });
    for (const fd of fds) {
      await sendAll(fd, hello);
      for (let i = 0; i < 500; i++) await sendAll(fd, status); // more answers than the socket holds
    }
    let rounds = 0;
    assert.ok(await askMeanwhile(clients, () => rounds++ > 20) > 0);
    for (const fd of fds) closeDescriptor(fd);
    await assertNothingLeft();
  });
});

async function connectedTo(socket: string): Promise<number> {
  for (;;) {
    try {
      return connectTo(socket);
    } catch (error) {
      if ((error as { errno?: number }).errno !== 11) throw error; // EAGAIN: too many wait
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}
