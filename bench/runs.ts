/** What does a run cost over the same run from C, and over onnxruntime-node's? */
import type { Binding, InferenceSession } from "../mod.ts";
import { addCase, type Case, makeTensors, renewing, sileroCase, THREADS } from "./support/cases.ts";
import { calling, contest, type Contestant, inC, ratio, type Result } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { Floor, HOW, openFloorLibrary } from "./support/floor.ts";
import { openSession } from "./support/open_session.ts";
import { Peer } from "./support/peer.ts";
import { atLeast, atMost, header, remark, type Row, table } from "./support/report.ts";

const FLOOR = "C Run, all cached", FLOOR_BOUND = "C RunWithBinding", FLOOR_FRESH = "C Run, fresh outputs";
const PEER = "onnxruntime-node, fresh outputs", PEER_GIVEN = "onnxruntime-node, given outputs";
const BOUND = "binding.runSync", NATIVE = "runSync, given native outputs", HEAP = "runSync, given heap outputs";
const FRESH = "runSync, fresh outputs", READ = "runSync, fresh outputs, .data read";
const RENEWED = "runSync, new feeds, fresh outputs", ASYNC = "run, awaited";

/** By case: times of the floor, and times by which the peer is slower, and microseconds for `run`. */
const BARS: Record<string, { floor: Record<string, number>; peer: Record<string, number>; asyncUs?: number }> = {
  Add: {
    floor: { [BOUND]: 1.1, [NATIVE]: 1.3, [HEAP]: 1.3, [FRESH]: 1.8 },
    peer: { [FRESH]: 4, [BOUND]: 5.5 },
    asyncUs: 20,
  },
  silero_vad_v5: { floor: { [FRESH]: 1.05 }, peer: { [FRESH]: 1.3 } },
};

function floors(floor: Floor | undefined): Contestant[] {
  if (floor === undefined) return [];
  return [
    inC(FLOOR, floor, HOW.run),
    inC(FLOOR_BOUND, floor, HOW.runWithBinding),
    inC(FLOOR_FRESH, floor, HOW.runWithFreshOutputs),
  ];
}

async function peers(peer: Peer | undefined, model: Case): Promise<Contestant[]> {
  if (peer === undefined) return [];
  await peer.open(model);
  return [peer.contestant(PEER, model, false), peer.contestant(PEER_GIVEN, model, true)];
}

function bound(session: InferenceSession, model: Case): Binding {
  return session.bind(makeTensors(model.inputs, "native"), makeTensors(model.outputs, "native"));
}

function ours(session: InferenceSession, binding: Binding, model: Case): Contestant[] {
  const feeds = makeTensors(model.inputs, "heap"), first = model.outputs[0]!.name;
  const renew = renewing(model.inputs), native = { outputs: makeTensors(model.outputs, "native") };
  const heap = { outputs: makeTensors(model.outputs, "heap") };
  return [
    calling(BOUND, () => binding.runSync()),
    calling(NATIVE, () => session.runSync(feeds, native)),
    calling(HEAP, () => session.runSync(feeds, heap)),
    calling(FRESH, () => session.runSync(feeds)),
    calling(READ, () => session.runSync(feeds)[first]!.data[0]),
    calling(RENEWED, () => session.runSync(renew())),
  ];
}

/** By itself: what runs in turn with it lets its threads fall asleep. */
function awaited(session: InferenceSession, model: Case): Promise<Result[]> {
  const feeds = makeTensors(model.inputs, "heap");
  return contest([calling(ASYNC, () => session.run(feeds))], 15, 100);
}

function row(model: Case, results: ReadonlyMap<string, Result>, { name, p50, p99 }: Result): Row {
  const result = results.get(name)!, bars = BARS[model.name]!;
  const floor = results.get(name === BOUND ? FLOOR_BOUND : FLOOR);
  const peer = results.get(name === BOUND || name === NATIVE || name === HEAP ? PEER_GIVEN : PEER);
  const isOurs = name === BOUND || name.startsWith("run");
  const overFloor = floor && ratio(result, floor), peerOver = peer && isOurs ? ratio(peer, result) : undefined;
  const checks = [
    overFloor !== undefined && bars.floor[name] ? atMost(overFloor, bars.floor[name], " x floor") : undefined,
    peerOver !== undefined && bars.peer[name] ? atLeast(peerOver, bars.peer[name], " x peer") : undefined,
    name === ASYNC && bars.asyncUs ? atMost(p50 / 1000, bars.asyncUs, " us p50") : undefined,
  ].filter((check) => check !== undefined);
  return {
    what: name,
    "p50 us": p50 / 1000,
    "p99 us": p99 / 1000,
    "x floor": overFloor,
    "peer x": peerOver,
    bar: checks.map((check) => check.bar).join(", "),
    met: checks.map((check) => check.met).join(", "),
  };
}

if (import.meta.main) {
  await header("What does a run cost over the same run from C, and over onnxruntime-node's?");
  using folder = new ScratchFolder();
  const library = openFloorLibrary(folder.path);
  if (typeof library === "string") remark(`no floor: ${library}`);
  using peer = Peer.start();
  if (peer === undefined) remark("no peer: there is no node here");
  for (const model of [addCase(folder.path), sileroCase()]) {
    const { session, pointer } = await openSession(model);
    await using _session = session;
    using floor = typeof library === "string" ? undefined : new Floor(library, model, pointer);
    using binding = bound(session, model);
    const contestants = [
      ...floors(floor),
      ...ours(session, binding, model),
      ...await peers(peer, model),
    ];
    const results = [...await contest(contestants), ...await awaited(session, model)];
    const byName = new Map(results.map((result) => [result.name, result]));
    table(`${model.name}, ${THREADS} thread`, results.map((result) => row(model, byName, result)));
  }
}
