/**
 * A synchronous call of a worker, against the least that it can be, and against HTTP. The floor is a bare ping-pong whose
 * other end does the bare run: on the core on which the worker does it, as cores of a shared machine differ.
 */
import { InferenceSession } from "../../mod.ts";
import { type Case, makeTensors, THREADS } from "../support/cases.ts";
import { Child } from "../support/child.ts";
import { calling, contest, type Contestant, type Result } from "../support/contest.ts";
import { Peer } from "../support/peer.ts";
import { remark, table } from "../support/report.ts";
import { type Pinnable, separate } from "./cores.ts";
import { FetchServer, httpClients } from "./http.ts";
import { Caller } from "./ping_pong.ts";
import type { WorkerProcess } from "./lane.ts";
import { quickest, row, sum } from "./results.ts";

const PING_PONG = "ping-pong alone", BARE = "binding.runSync alone, in this process";
const FLOOR = "floor: ping-pong, binding.runSync at its other end";
const HERE = "runSync, in this process", LANE = "runSync, by a worker", LANE_GIVEN = `${LANE}, given outputs`;
const PEER = "peer: onnxruntime-node in its own process, run";
const FLOOR_BAR = 2, HTTP_BAR = 5;
/** Longer than elsewhere: what a call takes does not depend on how its round began. */
const ROUNDS = 15, BUDGET_MS = 100;

/** The floor of what two processes can do; the other one comes back too. */
export function openPingPong(closing: DisposableStack): { readonly caller: Caller; readonly other: Child } {
  const other = closing.use(new Child(new URL("../children/lane_ping_pong.ts", import.meta.url)));
  const caller = closing.use(new Caller());
  return { caller, other };
}

async function http(add: Case, closing: DisposableStack, others: Pinnable[]): Promise<Contestant[]> {
  const node = closing.use(new Child(new URL("../children/lane_http.ts", import.meta.url)));
  const runtime = closing.use(await FetchServer.start(add.path));
  others.push(node, runtime);
  return [
    ...httpClients("node:http", await node.ask("serve", add.path), closing),
    ...httpClients("the runtime's server", runtime.port, closing),
  ];
}

/** Measures and tells. */
export async function measureSync(add: Case, worker: WorkerProcess): Promise<void> {
  using closing = new DisposableStack();
  const { caller, other } = openPingPong(closing), { caller: runCaller, other: runner } = openPingPong(closing);
  const others: Pinnable[] = [worker.child, other, runner];
  const overHttp = await http(add, closing, others), peer = Peer.start();
  if (peer !== undefined) await closing.use(peer).open(add);
  await using session = await InferenceSession.create(add.path, { intraOpNumThreads: THREADS });
  await using client = await worker.connect();
  await using remote = await client.model(add.name);
  using binding = session.bind(makeTensors(add.inputs, "native"), makeTensors(add.outputs, "native"));
  const feeds = makeTensors(add.inputs, "heap"), given = { outputs: makeTensors(add.outputs, "heap") };
  if (!await separate(others, true)) remark("not pinned: the system chooses the cores");
  await other.ask("answerCalls", caller.page);
  await runner.ask("answerRuns", runCaller.page, add);
  const results = await contest(
    [
      calling(PING_PONG, () => caller.call()),
      calling(BARE, () => binding.runSync()),
      calling(FLOOR, () => runCaller.call()),
      calling(HERE, () => session.runSync(feeds)),
      calling(LANE, () => remote.runSync(feeds)),
      calling(LANE_GIVEN, () => remote.runSync(feeds, given)),
      ...peer === undefined ? [] : [peer.contestant(PEER, add, false)],
      ...overHttp,
    ],
    ROUNDS,
    BUDGET_MS,
  );
  await separate([worker.child], false);
  tell(new Map(results.map((result) => [result.name, result])), overHttp.map(({ name }) => name));
}

function tell(results: ReadonlyMap<string, Result>, overHttp: readonly string[]): void {
  const of = (name: string): Result => results.get(name)!, lane = of(LANE);
  const floor = of(FLOOR), against = { result: floor, column: "x floor" };
  const both = sum("both, one after the other", of(PING_PONG), of(BARE));
  const best = quickest(overHttp.map(of));
  table("Add, runSync, on cores of their own", [
    row(of(PING_PONG)),
    row(of(BARE)),
    row(both, against),
    row(floor),
    ...[LANE, LANE_GIVEN].map((name) => row(of(name), { ...against, atMost: FLOOR_BAR })),
    row(of(HERE), against),
    ...[PEER].filter((name) => results.has(name)).map((name) => row(of(name), against)),
    ...overHttp.map(of).map((result) =>
      row(result, against, { result: lane, column: "x lane", ...result === best && { atLeast: HTTP_BAR } })
    ),
  ]);
}
