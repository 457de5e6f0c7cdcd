// Connections that send what is no frame, or a wrong one: see ../hostile_frames_test.ts.
import process from "node:process";
import { closeDescriptor } from "../../../ffi/descriptors.ts";
import { connectTo, receiveWithDescriptors, untilReadable } from "../../../ffi/unix_socket.ts";
import { encodeFrame, encodeJson, encodeTensors, FRAME, FRAME_HEAD } from "../../../src/protocol/frames.ts";
import { Tensor } from "../../../mod.ts";
import { randomFrom } from "../../memory/support.ts";
import { HELLO, sendAll } from "./raw_client.ts";

const [socket, seed, count] = process.argv.slice(2) as [string, string, string];
const random = randomFrom(Number(seed)), wanted = Number(count);
const one = <T>(of: readonly T[]): T => of[random(of.length)]!;
const AT_ONCE = 16, MOST_FRAMES = 200, HUNG_MS = 20_000;

const feeds = { a: Tensor.from(Float32Array.of(1, 2, 3, 4)), b: Tensor.from(Float32Array.of(5, 6, 7, 8)) };
const hello = encodeJson(FRAME.hello, 0, { ...HELLO, sharesMemory: false });
/** What a real client sends. */
const GOOD: readonly Uint8Array<ArrayBuffer>[] = [
  hello,
  encodeJson(FRAME.hello, 0, HELLO),
  encodeJson(FRAME.call, 1, { method: "health", params: {} }),
  encodeJson(FRAME.call, 2, { method: "model", params: { name: "add" } }),
  encodeJson(FRAME.call, 3, { method: "status" }),
  encodeFrame(FRAME.infer, 4, encodeTensors({ model: "add", outputs: ["c"], options: { timeoutMs: 100 } }, feeds)),
  encodeFrame(FRAME.infer, 5, encodeTensors({ model: "add", options: { sequence: { id: 1 } } }, feeds)),
  encodeJson(FRAME.cancel, 0, { id: 4 }),
  encodeJson(FRAME.cancel, 0, { slot: 1, sequence: 2 }),
];
const NUMBERS = [0, 1, 5, 8, 9, 16, 255, 65_535, 1 << 20, 1 << 28, 2 ** 31, 2 ** 32 - 1];
const BROKEN = new Uint8Array(FRAME_HEAD);

const tally = { frames: 0, connections: 0, closed: 0 };

/** A frame that is wrong, or might be; `undefined` in place of one that leaves the rest to follow. */
function wrongFrame(): { readonly bytes: Uint8Array<ArrayBuffer>; readonly isCut: boolean } {
  const good = one(GOOD).slice(), kind = random(8);
  if (kind === 0) return { bytes: Uint8Array.from({ length: random(200) }, () => random(256)), isCut: true };
  if (kind === 1) return { bytes: good.slice(0, random(good.length)), isCut: true };
  if (kind === 2) {
    new Uint32Array(good.buffer, 0, 4)[random(4)] = one(NUMBERS);
    return { bytes: good, isCut: true };
  }
  if (kind === 3) {
    const ids = new Uint32Array(good.buffer, 8, 1);
    ids[0] = random(2 ** 32);
    return { bytes: good, isCut: false };
  }
  for (let i = random(4); i >= 0; i--) good[FRAME_HEAD + random(good.length - FRAME_HEAD)] = random(256);
  return { bytes: good, isCut: false };
}

/** Reads what the worker says until it closes. */
async function readToEnd(fd: number): Promise<void> {
  for (const end = performance.now() + HUNG_MS; performance.now() < end;) {
    if (!await untilReadable(fd, 1000)) continue;
    try {
      const received = receiveWithDescriptors(fd, 1 << 16);
      for (const passed of received?.fds ?? []) closeDescriptor(passed);
      if (received?.bytes.length === 0) return;
    } catch {
      return; // the worker closed it with bytes of ours unread
    }
  }
  throw new Error("A connection that sends what is no frame is not closed");
}

async function attack(): Promise<void> {
  const fd = await connected();
  tally.connections++;
  try {
    let isOpen = random(10) === 0 || await sendAll(fd, random(20) === 0 ? GOOD[1]! : hello), isCut = false;
    for (let i = random(MOST_FRAMES); i >= 0 && isOpen && !isCut; i--) {
      const frame = wrongFrame();
      tally.frames++;
      isCut = frame.isCut;
      isOpen = await sendAll(fd, frame.bytes);
    }
    if (isCut && random(2) === 0) return; // it goes in the middle of a frame
    if (isCut) isOpen = isOpen && await sendAll(fd, new Uint8Array(1 << 20)); // ends whatever frame it was
    if (isOpen) await sendAll(fd, BROKEN);
    if (isCut) return;
    await readToEnd(fd);
    tally.closed++;
  } finally {
    closeDescriptor(fd);
  }
}

async function connected(): Promise<number> {
  for (const end = performance.now() + HUNG_MS;;) {
    try {
      return connectTo(socket);
    } catch (error) {
      if (performance.now() > end || (error as { errno?: number }).errno !== 11) throw error; // EAGAIN: too many wait
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  while (tally.frames < wanted) await attack();
}));
console.log(JSON.stringify(tally));
process.exit(0);
