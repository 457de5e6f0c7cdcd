import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { afterEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import * as layout from "../../src/memory/region_layout.ts";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { formatTensorRef, type TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const DOCUMENT = readFileSync(new URL("../../src/memory/REGION.md", import.meta.url), "utf8");
const SCRIPT = fileURLToPath(new URL("./python/region_peer.py", import.meta.url));
/** Long beyond what any peer needs. */
const WATCHDOG_MS = 60_000;
const STALE = failure("ReferenceError", "STALE_REFERENCE");

interface Field {
  readonly offset: number;
  readonly bytes: number;
}

/** The rows of a section's first table, without its head. */
function rowsOf(section: string): string[][] {
  const text = DOCUMENT.split(/^##+ /m).find((part) => part.startsWith(`${section}\n`))!;
  const rows = /(?:^\|.*\n)+/m.exec(text)![0].trim().split("\n").slice(2);
  return rows.map((row) => row.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/** The fields that a section's table tells, by name. */
function fieldsOf(section: string): Record<string, Field> {
  const rows = rowsOf(section);
  return Object.fromEntries(rows.map(([offset, bytes, , name]) => [name, { offset: +offset!, bytes: +bytes! }]));
}

function offsetsOf(section: string): Record<string, number> {
  return Object.fromEntries(Object.entries(fieldsOf(section)).map(([name, { offset }]) => [name, offset]));
}

/** A field's bytes as a number, or in hexadecimal where no number holds them. */
function valueOf(bytes: Uint8Array, { offset, bytes: length }: Field): number | string {
  const view = new DataView(bytes.buffer);
  if (length === 4) return view.getUint32(offset, true);
  if (length === 8) return Number(view.getBigUint64(offset, true));
  return Array.from(bytes.subarray(offset, offset + length), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("the document of regions", () => {
  it("has the numbers of the code", () => {
    const numbers = Object.fromEntries(rowsOf("Numbers").map(([name, value]) => [name, Number(value)]));
    for (const [name, value] of Object.entries(numbers)) {
      assert.equal(value, (layout as unknown as Record<string, unknown>)[name], name);
    }
    assert.equal(Object.keys(numbers).length, 12);
  });

  it("has the header where the code writes it", () => {
    const { magic, state, made, returned, ...fields } = fieldsOf("Header");
    const laid = layout.layOut(5000, 100), bytes = layout.encodeHeader(laid);
    assert.equal(new TextDecoder().decode(bytes.subarray(magic!.offset, magic!.bytes)), "COLOADSM");
    const found = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(bytes, field)]));
    const own = { version: layout.REGION_VERSION, headerByteLength: layout.HEADER_BYTE_LENGTH, slots: layout.SLOTS };
    assert.deepEqual(found, { ...laid, ...own });
    const changing = [layout.STATE_OFFSET, layout.MADE_OFFSET, layout.RETURNED_OFFSET];
    assert.deepEqual([state!.offset, made!.offset, returned!.offset], changing);
  });

  it("has the fields of participants and blocks where the code has them", () => {
    assert.deepEqual(offsetsOf("Participants"), layout.SLOT);
    assert.deepEqual(offsetsOf("Blocks"), layout.BLOCK);
  });

  it("lets no two fields overlap, and aligns each to its size", () => {
    for (const section of ["Header", "Participants", "Blocks"]) {
      let end = 0;
      for (const [name, { offset, bytes }] of Object.entries(fieldsOf(section))) {
        assert.ok(offset >= end && offset % Math.min(bytes, 8) === 0, `${section}: ${name}`);
        end = offset + bytes;
      }
      assert.ok(end <= (section === "Header" ? layout.PAGE : layout.BLOCK_BYTE_LENGTH), section);
    }
  });

  it("has an example of the sizes, and one of a reference in both its forms", () => {
    const [, dataOffset, byteLength] = /make `dataOffset` (\d+) and a file of (\d+) bytes/.exec(DOCUMENT)!;
    const made = layout.layOut(4096, 64);
    assert.deepEqual([Number(dataOffset), Number(byteLength)], [made.dataOffset, made.byteLength]);
    const [, json, word] = /^(\{"v":1.*)\n(coload-tensor,.*)$/m.exec(DOCUMENT)!;
    assert.equal(formatTensorRef(JSON.parse(json!)), word);
    assert.throws(() => Tensor.open(word!), STALE); // sound, but there is no such region
  });
});

/** A process that runs the Python peer. */
class Peer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  readonly #watchdog: ReturnType<typeof setTimeout>;

  constructor(...args: readonly string[]) {
    this.#child = spawn("python3", [SCRIPT, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    this.#closed = once(this.#child, "close");
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#watchdog = setTimeout(() => this.#child.kill("SIGKILL"), WATCHDOG_MS);
  }

  /** Its next answer. */
  async answer(): Promise<unknown> {
    const { done, value } = await this.#lines.next();
    assert.ok(!done, "the peer ended without an answer");
    return JSON.parse(value);
  }

  ask(line: string): Promise<unknown> {
    this.#child.stdin!.write(`${line}\n`);
    return this.answer();
  }

  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child; // whose own kill() ends its input first, on Deno
    if (exitCode === null && signalCode === null) process.kill(pid!, "SIGKILL");
    await this.#closed;
  }

  /** Lets it close its region, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    await this.#closed;
    clearTimeout(this.#watchdog);
  }
}

function whyNot(): string | undefined {
  const { error, status, stderr } = spawnSync("python3", [SCRIPT, "check"], { encoding: "utf8" });
  if (error) return `there is no python3: ${error.message}`;
  return status === 0 ? undefined : `python3 cannot take part: ${stderr.trim().split("\n").at(-1)}`;
}

const skip = whyNot() ?? false;

for (const backend of ["named", "memfd"] as const) {
  describe(`a participant by the document alone, in a ${backend} region`, { skip }, () => {
    afterEach(() => {
      sweepSharedMemory(); // leaves the regions whose owner has gone
      nothingLeft();
    });

    /** A tensor, to be kept: one that is collected frees its memory. */
    function share(allocator: SharedMemoryAllocator, ...values: readonly number[]): Tensor<"float32"> {
      return allocator.share(Tensor.from(Float32Array.from(values)));
    }

    function hold(tensor: Tensor): Peer {
      return new Peer("hold", JSON.stringify(tensor.ref));
    }

    it("reads a tensor and changes it", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1.5, -2, 0.25);
      await using peer = hold(tensor);
      assert.deepEqual(await peer.answer(), [1.5, -2, 0.25]);
      tensor.data[1] = 4;
      assert.deepEqual(await peer.ask("read"), [1.5, 4, 0.25]);
      await peer.ask("write 7 8 9");
      assert.deepEqual([...tensor.data], [7, 8, 9]);
    });

    it("keeps memory in use that its owner disposed of, which can be had again at once when it lets go", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1, 2);
      const { ref } = tensor;
      await using peer = hold(tensor);
      await peer.answer();
      tensor[Symbol.dispose]();
      using other = share(allocator, 3);
      assert.notEqual(other.ref.byteOffset, ref.byteOffset);
      assert.equal(allocator.metrics().bytesInUse, 128);
      assert.deepEqual(await peer.ask("read"), [1, 2]);
      await peer.ask("release");
      assert.equal(allocator.metrics().bytesInUse, 64);
      using third = share(allocator, 4);
      assert.equal(third.ref.byteOffset, ref.byteOffset);
      assert.throws(() => Tensor.open(ref), STALE);
    });

    it("lets go of all it holds when it closes", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1);
      {
        await using peer = hold(tensor);
        await peer.answer();
        tensor[Symbol.dispose]();
        assert.equal(allocator.metrics().bytesInUse, 64);
      }
      assert.equal(allocator.metrics().bytesInUse, 0);
    });

    it("is refused a block that was freed, or made again", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1);
      const ref = JSON.stringify(tensor.ref);
      tensor[Symbol.dispose]();
      await using late = new Peer("hold", ref);
      assert.deepEqual(await late.answer(), { stale: "the block was freed" });
      using again = share(allocator, 2);
      await using later = new Peer("hold", ref);
      assert.deepEqual(await later.answer(), { stale: "the block is in other use" });
      assert.equal(again.data[0], 2);
    });

    it("receives a tensor that was handed off, and hands it off again", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const ref = JSON.stringify(share(allocator, 1, 2).handOff({ ttlMs: WATCHDOG_MS }));
      await using peer = new Peer("hold", ref);
      assert.deepEqual(await peer.answer(), [1, 2]);
      assert.equal(allocator.metrics().bytesInUse, 64);
      await peer.ask(`send ${WATCHDOG_MS}`);
      assert.equal(allocator.metrics().bytesInUse, 64);
      Tensor.open(ref)[Symbol.dispose]();
      assert.equal(allocator.metrics().bytesInUse, 0);
    });

    it("loses what it held when it is killed, by the next sweep", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1);
      await using peer = hold(tensor);
      await peer.answer();
      tensor[Symbol.dispose]();
      assert.equal(allocator.metrics().bytesInUse, 64);
      await peer.kill();
      sweepSharedMemory();
      assert.equal(allocator.metrics().bytesInUse, 0);
    });

    it("takes the place of one that was killed, and what that held", async () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = share(allocator, 1), other = share(allocator, 2);
      await using peer = hold(tensor);
      await peer.answer();
      tensor[Symbol.dispose]();
      await peer.kill();
      await using next = hold(other);
      assert.deepEqual(await next.answer(), [2]);
      assert.equal(allocator.metrics().bytesInUse, 64);
    });

    it("owns a region whose tensor is opened, and stays after it closed", async () => {
      await using peer = new Peer("own", backend, "1", "2.5");
      const ref = await peer.answer() as TensorRef;
      {
        using tensor = Tensor.open(ref).as("float32");
        assert.deepEqual([...tensor.data], [1, 2.5]);
        tensor.data[0] = 3;
        assert.deepEqual(await peer.ask("close"), [3, 2.5]);
        await peer[Symbol.asyncDispose]();
        assert.deepEqual([...tensor.data], [3, 2.5]);
      }
      assert.throws(() => Tensor.open(ref), STALE);
      assert.ok(!existsSync(`/dev/shm/${ref.region}`));
    });

    it("leaves nothing of a region that it owned when it is killed", async () => {
      await using peer = new Peer("own", backend, "1");
      const ref = await peer.answer() as TensorRef, tensor = Tensor.open(ref).as("float32");
      await peer.kill();
      sweepSharedMemory();
      assert.deepEqual([...tensor.data], [1]);
      tensor[Symbol.dispose]();
      assert.ok(!existsSync(`/dev/shm/${ref.region}`));
    });
  });
}
