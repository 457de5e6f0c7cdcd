/** A large input: where it lies decides what it costs. The floor's run is on the core on which the worker does it. */
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
  const { caller, other } = openPingPong(closing), { caller: runCaller, other: runner } = openPingPong(closing);
  const { other: socketEnd, contestants: sockets } = await openSockets(closing);
  using allocator = new SharedMemoryAllocator();
  const heap = Tensor.from(new Float32Array(FLOATS).fill(0.5)), shared = closing.use(allocator.share(heap));
  await using session = await InferenceSession.create(large.path, { intraOpNumThreads: THREADS });
  await using client = await worker.connect();
  await using inline = await worker.connect({ sharedMemory: false });
  await using remote = await client.model(large.name);
  await using far = await inline.model(large.name);
  await separate([worker.child, other, runner, socketEnd], true);
  await other.ask("answerCalls", caller.page);
  await runner.ask("answerRunsOn", runCaller.page, large, { x: shared.ref });
  const sync = await contest(
    [
      calling("ping-pong alone", () => caller.call()),
      calling("runSync alone, in this process", () => session.runSync({ x: shared })),
      calling("floor: ping-pong, runSync at its other end", () => runCaller.call()),
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
  tell("runSync", sync.slice(0, 2), sync.slice(2));
  const roundTrips = async.slice(0, sockets.length), [here, ...others] = async.slice(sockets.length);
  tell("run", [...roundTrips, here!], [sum("floor: both", quickest(roundTrips), here!), ...others]);
}

function tell(call: string, parts: readonly Result[], [floor, lane, ...others]: readonly Result[]): void {
  const against = { result: floor!, column: "x floor" };
  table(`10 MiB of floats, ${call}, on cores of their own`, [
    ...[...parts, floor!].map((result) => row(result)),
    row(lane!, { ...against, atMost: BAR }),
    ...others.map((result) => row(result, against)),
  ]);
}
