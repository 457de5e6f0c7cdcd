import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { SharedMemoryRegion } from "../../src/memory/shared_memory_region.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { isNamed, missing, openRegions, OTHER, OWN, Peer, refused, type Runtime } from "./peers/peer.ts";

const RUNTIMES: readonly Runtime[] = [OWN, OTHER];
/** `unshare` with a /proc of its own: no process outside can be found there. */
const APART = ["unshare", "-Urpf", "--mount-proc", "--kill-child"];

/** A memfd tensor of this process, and the descriptor of its region, opened anew as what is passed on. */
function sharedTensor(allocator: SharedMemoryAllocator) {
  const tensor = allocator.tensor("float32", [1000]), [, , , , fd] = tensor.ref.region.split("-");
  return { tensor, descriptor: openSync(`/proc/self/fd/${fd}`, "r+") };
}

afterEach(nothingLeft);

for (const runtime of RUNTIMES) {
  describe(`a child of a ${runtime} process that is killed`, { skip: missing(runtime) }, () => {
    for (const backend of ["named", "memfd"] as const) {
      it(`has none of its descriptors and keeps nothing of ${backend} memory alive`, async () => {
        const peer = await Peer.start(runtime);
        await peer.ask("allocateBy", { backend });
        const { ref } = await peer.ask("allocate", "float32", [1000]), region = await peer.ask("makeRegion", backend);
        const sleep = await peer.ask("startSleep");
        assert.deepEqual([openRegions(peer.pid), openRegions(sleep)], [2, 0]);
        await peer.kill();
        sweepSharedMemory();
        assert.deepEqual([isNamed(ref), isNamed({ region })], [false, false]);
        assert.ok(process.kill(sleep, "SIGKILL"), "it lived until here");
      });
    }
  });

  describe(`a memfd region whose descriptor is passed to a ${runtime} process`, { skip: missing(runtime) }, () => {
    it("is joined by it, and its tensors are opened by their references", async () => {
      using allocator = new SharedMemoryAllocator({ backend: "memfd" });
      const { tensor, descriptor } = sharedTensor(allocator);
      await using peer = await Peer.start(runtime, { descriptor });
      closeSync(descriptor);
      assert.equal(await peer.ask("openDescriptor", 3), tensor.ref.region);
      const opened = await peer.ask("open", tensor.ref);
      await peer.ask("write", opened, 999, 0.5);
      assert.equal(tensor.data[999], 0.5);
    });

    it("is reached where its process cannot be found", { skip: refused(APART) }, async () => {
      using allocator = new SharedMemoryAllocator({ backend: "memfd" });
      const { tensor, descriptor } = sharedTensor(allocator);
      await using peer = await Peer.start(runtime, { descriptor, through: APART });
      closeSync(descriptor);
      await assert.rejects(peer.ask("open", tensor.ref), failure("NativeError", "REGION_UNREACHABLE"));
      await peer.ask("openDescriptor", 3);
      const opened = await peer.ask("open", tensor.ref);
      await peer.ask("write", opened, 0, 2.5);
      assert.equal(tensor.data[0], 2.5);
    });

    it("is passed by the region's own descriptor", async () => {
      using region = SharedMemoryRegion.create(100, { backend: "memfd" });
      await using peer = await Peer.start(runtime, { descriptor: region.descriptor });
      assert.equal(await peer.ask("openDescriptor", 3), region.name);
    });

    it("is refused when its size is not sealed", async () => {
      using region = SharedMemoryRegion.create(100);
      await using peer = await Peer.start(runtime, { descriptor: region.descriptor });
      await assert.rejects(peer.ask("openDescriptor", 3), failure("NativeError", "REGION_FORBIDDEN"));
    });
  });

  describe(`a memfd region that a ${runtime} process wants to cut or to extend`, { skip: missing(runtime) }, () => {
    for (const byteLength of [0, 4096, 1 << 30]) {
      it(`stays as it is: ${byteLength} bytes`, async () => {
        using allocator = new SharedMemoryAllocator({ backend: "memfd" });
        using tensor = allocator.tensor("uint8", [100_000]);
        await using peer = await Peer.start(runtime);
        const opened = await peer.ask("open", tensor.ref), [, , pid, , fd] = tensor.ref.region.split("-");
        await assert.rejects(peer.ask("truncate", `/proc/${pid}/fd/${fd}`, byteLength), { code: "EPERM" });
        tensor.data.fill(9);
        assert.ok(await peer.ask("isFilled", opened, 9));
      });
    }
  });
}
