/** A large input: where it lies decides what it costs. */
import { writeFileSync } from "node:fs";
import { InferenceSession, SharedMemoryAllocator, Tensor } from "../../mod.ts";
import { encodeModel, intAttribute, node, value } from "../../test/support/models/proto.ts";
import { type Case, THREADS } from "../support/cases.ts";
import { calling, contest, type Result } from "../support/contest.ts";
import type { ScratchFolder } from "../support/ending.ts";
import { table } from "../support/report.ts";
import { openSockets } from "./async.ts";
import { separate } from "./cores.ts";
import type { WorkerProcess } from "./lane.ts";
import { quickest, row, sum } from "./results.ts";
import { openPingPong } from "./sync.ts";

const FLOATS = 10 * 2 ** 20 / 4, ROUNDS = 9, BUDGET_MS = 60, BAR = 1.1;

/** The sum of 10 MiB of floats: a run that is over soon. */
export function largeCase(folder: ScratchFolder): Case {
  const path = folder.join("large.onnx"), x = value("x", "float32", [FLOATS]), y = value("y", "float32", []);
  const nodes = [node("ReduceSum", ["x"], ["y"], [intAttribute("keepdims", 0)])];
  writeFileSync(path, encodeModel({ inputs: [x], outputs: [y], nodes }));
  return { name: "ReduceSum", path, inputs: [], outputs: [] };
}

/** Measures and tells. */
export async function measureLarge(large: Case, worker: WorkerProcess): Promise<void> {
  using closing = new DisposableStack();
  const { caller, other } = openPingPong(closing);
  const { other: socketEnd, contestants: sockets } = await openSockets(closing);
  using allocator = new SharedMemoryAllocator();
  const heap = Tensor.from(new Float32Array(FLOATS).fill(0.5)), shared = closing.use(allocator.share(heap));
  await using session = await InferenceSession.create(large.path, { intraOpNumThreads: THREADS });
  await using client = await worker.connect();
  await using inline = await worker.connect({ sharedMemory: false });
  await using remote = await client.model(large.name);
  await using far = await inline.model(large.name);
  await separate([worker.child, other, socketEnd], true);
  await other.ask("answerCalls", caller.page);
  const sync = await contest(
    [
      calling("floor: ping-pong", () => caller.call()),
      calling("floor: runSync, in this process", () => session.runSync({ x: shared })),
      calling("runSync, shared input", () => remote.runSync({ x: shared })),
      calling("runSync, heap input, copied once", () => remote.runSync({ x: heap })),
    ],
    ROUNDS,
    BUDGET_MS,
  );
  const async = await contest(
    [
      ...sockets,
      calling("floor: run, shared input, in this process", () => session.run({ x: shared })),
      calling("run, shared input", () => remote.run({ x: shared })),
      calling("run, heap input, copied once", () => remote.run({ x: heap })),
      calling("run, bytes over the socket", () => far.run({ x: heap })),
    ],
    ROUNDS,
    BUDGET_MS,
  );
  await separate([worker.child], false);
  tell("runSync", sync.slice(0, 1), sync.slice(1));
  tell("run", async.slice(0, sockets.length), async.slice(sockets.length));
}

function tell(call: string, roundTrips: readonly Result[], [here, lane, ...others]: readonly Result[]): void {
  const floor = sum("floor: both", quickest(roundTrips), here!), against = { result: floor, column: "x floor" };
  table(`10 MiB of floats, ${call}, on cores of their own`, [
    ...[...roundTrips, here!, floor].map((result) => row(result)),
    row(lane!, { ...against, atMost: BAR }),
    ...others.map((result) => row(result, against)),
  ]);
}
