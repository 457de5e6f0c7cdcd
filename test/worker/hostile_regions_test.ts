import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SharedMemoryAllocator, type Tensor } from "../../mod.ts";
import { PLACE, type TensorDescription } from "../../src/protocol/description.ts";
import { ANSWER, FLAG, SLOT, slotWord } from "../../src/protocol/lane_layout.ts";
import { Holder } from "../memory/holder.ts";
import { Attacker } from "./children/attacker.ts";
import type { ModelName } from "./children/models.ts";
import type { Answer } from "./children/raw_client.ts";
import { goodRequest } from "./children/requests.ts";

const BEYOND = 2 ** 53 - 64;

let attacker: Attacker;
before(async () => {
  attacker = await Attacker.start();
});
after(() => attacker[Symbol.asyncDispose]());

const [a, b] = goodRequest("add", 0).request.inputs as [TensorDescription, TensorDescription];
const [c] = goodRequest("add", 0).request.outputs as [TensorDescription];

describe("results that found no room", () => {
  const wide = goodRequest("casts", 0).request.outputs[0]!;

  function keep(): Answer {
    return attacker.run("casts", { request: { outputs: [{ ...wide, byteLength: 0 }] } });
  }

  function collect(outputs: readonly TensorDescription[], model: ModelName = "casts"): Answer {
    const executor = attacker.client.words[slotWord(0) + SLOT.ranBy]!, flags = FLAG.collect | FLAG.own;
    return attacker.run(model, { request: { outputs }, words: { flags, executor } });
  }

  it("are collected once", () => {
    assert.equal(keep().status, ANSWER.kept);
    assert.equal(collect([wide]).status, ANSWER.done);
    assert.deepEqual([...new Float64Array(attacker.client.lane.buffer, wide.byteOffset, 3)], [0, 1, 2]);
    assert.equal(collect([wide]).code, "WORKER_PROTOCOL");
  });

  it("are gone when there is still no room", () => {
    for (const byteLength of [0, 799]) {
      assert.equal(keep().status, ANSWER.kept);
      assert.equal(collect([{ ...wide, byteLength }]).code, "WORKER_PROTOCOL");
      assert.equal(collect([wide]).code, "WORKER_PROTOCOL");
    }
  });

  it("are not collected as what they are not", () => {
    for (const outputs of [[], [wide, wide], [{ ...wide, byteOffset: 0 }], [{ ...wide, port: 1 }]]) {
      keep();
      const { status } = collect(outputs);
      assert.ok(status === ANSWER.done || status === ANSWER.failed);
    }
    keep();
    assert.notEqual(collect([c], "add").status, ANSWER.kept);
    attacker.assertServed();
  });

  it("never go beyond the memory that is named for another output", () => {
    using allocator = new SharedMemoryAllocator();
    using small = allocator.tensor("uint8", [100]), neighbour = allocator.tensor("uint8", [4096]);
    neighbour.data.fill(7);
    keep();
    collect([{ ...inRegion(small), port: 1, elementType: 2 }]);
    assert.ok(neighbour.data.every((value) => value === 7));
  });
});

function inRegion(tensor: Tensor): TensorDescription {
  const { region, generation, byteOffset, byteLength, shape } = tensor.ref;
  return { port: 0, elementType: 1, shape, place: PLACE.region, byteOffset, byteLength, region, generation };
}

describe("memory that a request names", () => {
  /** Adds what is named to itself, and to what is named. */
  const run = (input: TensorDescription, output: TensorDescription = c): Answer =>
    attacker.run("add", { request: { inputs: [{ ...input, port: 0 }, b], outputs: [{ ...output, port: 0 }] } });

  it("is read and written where it is the client's", () => {
    using allocator = new SharedMemoryAllocator();
    using input = allocator.tensor("float32", [4]), output = allocator.tensor("float32", [4]);
    input.data.set([1, 2, 3, 4]);
    assert.equal(run(inRegion(input), inRegion(output)).status, ANSWER.done);
    assert.deepEqual([...output.data], [11, 22, 33, 44]);
  });

  it("is refused where it is not of one block", () => {
    using allocator = new SharedMemoryAllocator();
    using mine = allocator.tensor("float32", [4]), next = allocator.tensor("float32", [4096]);
    const good = inRegion(mine), other = inRegion(next);
    for (const byteOffset of [0, 64, good.byteOffset + 4096, other.byteOffset, 2 ** 40, BEYOND]) {
      assert.equal(run({ ...good, byteOffset }).code, "OUT_OF_RANGE", `${byteOffset}`);
      assert.equal(run(a, { ...good, byteOffset }).code, "OUT_OF_RANGE", `${byteOffset}`);
    }
    assert.equal(run({ ...good, byteOffset: good.byteOffset + 2 }).code, "OUT_OF_RANGE");
  });

  it("is refused where it is of another shape, dtype or length", () => {
    using allocator = new SharedMemoryAllocator();
    using mine = allocator.tensor("float32", [4]);
    const good = inRegion(mine);
    assert.equal(run(a, { ...good, elementType: 11 }).status, ANSWER.failed);
    assert.equal(run(a, { ...good, shape: [5] }).status, ANSWER.failed);
    assert.equal(run(a, { ...good, byteLength: 20 }).code, "INVALID_LENGTH");
    assert.equal(run({ ...good, byteLength: BEYOND }).code, "INVALID_LENGTH");
  });

  it("is refused once it was freed, and when it was allocated anew", () => {
    using allocator = new SharedMemoryAllocator();
    const mine = allocator.tensor("float32", [4]), freed = inRegion(mine);
    assert.equal(run(freed).status, ANSWER.done);
    mine[Symbol.dispose]();
    assert.equal(run(freed).code, "STALE_REFERENCE");
    using _again = allocator.tensor("float32", [4]);
    assert.equal(run(freed).code, "STALE_REFERENCE");
    assert.equal(run(a, freed).code, "STALE_REFERENCE");
  });

  it("is refused where there is no such block", () => {
    using allocator = new SharedMemoryAllocator();
    using mine = allocator.tensor("float32", [4]);
    for (const generation of [0, 2 ** 32 * (2 ** 20 - 1), 2 ** 52, 2 ** 53 - 1]) {
      assert.equal(run({ ...inRegion(mine), generation }).code, "STALE_REFERENCE", `${generation}`);
    }
  });

  it("is refused where there is no such region, or it has no name that a region has", () => {
    const nowhere = { ...a, place: PLACE.region, generation: 0 };
    assert.equal(run({ ...nowhere, region: `coload-${"0".repeat(32)}` }).code, "REGION_NOT_FOUND");
    for (const region of ["x", "../../etc/passwd", "coload-\0", "memfd:1:2:3", "/dev/shm/a", "ü".repeat(95)]) {
      assert.match(run({ ...nowhere, region }).code!, /^(REGION|INVALID|STALE)/, region);
    }
    assert.match(run(nowhere).code!, /^(REGION|INVALID|STALE)/);
  });

  it("is refused where another process holds it", async () => {
    await using holder = await Holder.start<Tensor["ref"]>("tensor");
    const { region, generation, byteOffset } = holder.ref;
    const theirs = { ...a, place: PLACE.region, region, generation, byteOffset };
    assert.equal(run(theirs).code, "FOREIGN_REFERENCE");
    assert.equal(run(a, theirs).code, "FOREIGN_REFERENCE");
    await holder.kill();
    assert.match(run(theirs).code!, /^(FOREIGN|STALE|REGION)/);
    attacker.assertServed();
  });
});
