/** An asynchronous call of a worker, one at a time, against a message over a unix socket and its answer. */
import { InferenceSession } from "../../mod.ts";
import { type Case, makeTensors, THREADS } from "../support/cases.ts";
import { Child } from "../support/child.ts";
import { calling, contest, type Contestant } from "../support/contest.ts";
import { ScratchFolder } from "../support/ending.ts";
import { table } from "../support/report.ts";
import { separate } from "./cores.ts";
import type { WorkerProcess } from "./lane.ts";
import { quickest, row } from "./results.ts";
import { SocketCaller, SOCKETS } from "./socket.ts";

const HERE = "run, in this process", LANE = "run, by a worker", BAR = 1.5;

/** The floors: a socket of each kind, and the process at their other end. */
export async function openSockets(
  closing: DisposableStack,
): Promise<{ readonly contestants: Contestant[]; readonly other: Child }> {
  const other = closing.use(new Child(new URL("../children/lane_socket.ts", import.meta.url)));
  const folder = closing.use(new ScratchFolder()), contestants: Contestant[] = [];
  for (const kind of SOCKETS) {
    const path = folder.join(`socket-${contestants.length}`);
    await other.ask("answerMessages", kind, path);
    const caller = closing.use(await SocketCaller.open(kind, path));
    contestants.push(calling(`floor: unix socket, ${kind}`, () => caller.call()));
  }
  return { contestants, other };
}

/** Measures and tells. */
export async function measureAsync(add: Case, worker: WorkerProcess): Promise<void> {
  using closing = new DisposableStack();
  const { contestants: sockets, other } = await openSockets(closing), feeds = makeTensors(add.inputs, "heap");
  await using session = await InferenceSession.create(add.path, { intraOpNumThreads: THREADS });
  await using client = await worker.connect();
  await using remote = await client.model(add.name);
  for (const apart of [true, false]) {
    await separate([worker.child, other], apart);
    const results = await contest([
      ...sockets,
      calling(LANE, () => remote.run(feeds)),
      calling(HERE, () => session.run(feeds)),
    ]);
    const floor = quickest(results.slice(0, sockets.length)), against = { result: floor, column: "x floor" };
    table(
      `Add, run, one in flight, ${apart ? "on cores of their own" : "where the system puts them"}`,
      results.map((result) => row(result, result.name === LANE ? { ...against, atMost: BAR } : against)),
    );
  }
}
