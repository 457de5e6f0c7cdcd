/** A short model of real use, by a worker and in this process. */
import { InferenceSession } from "../../mod.ts";
import { type Case, makeTensors, THREADS } from "../support/cases.ts";
import { calling, contest } from "../support/contest.ts";
import { Peer } from "../support/peer.ts";
import { table } from "../support/report.ts";
import { separate } from "./cores.ts";
import type { WorkerProcess } from "./lane.ts";
import { row } from "./results.ts";

const HERE = "in this process", LANE = "by a worker", PEER = "peer: onnxruntime-node in its own process, run";
const BARS = { runSync: 1.4, run: 2 };

/** Measures and tells. */
export async function measureSilero(silero: Case, worker: WorkerProcess): Promise<void> {
  await using session = await InferenceSession.create(silero.path, { intraOpNumThreads: THREADS });
  await using client = await worker.connect();
  await using remote = await client.model(silero.name);
  using peer = Peer.start();
  await peer?.open(silero);
  const feeds = makeTensors(silero.inputs, "heap");
  for (const apart of [true, false]) {
    await separate([worker.child], apart);
    for (const call of ["runSync", "run"] as const) {
      const results = await contest([
        calling(`${call}, ${HERE}`, () => session[call](feeds)),
        calling(`${call}, ${LANE}`, () => remote[call](feeds)),
        ...peer === undefined ? [] : [peer.contestant(PEER, silero, false)],
      ]);
      const [here, lane, ...others] = results as [typeof results[0], ...typeof results];
      const against = { result: here, column: "x in process" };
      const barred = call === "run" || apart ? { ...against, atMost: BARS[call] } : against;
      table(`silero_vad_v5, ${call}, ${apart ? "on cores of their own" : "where the system puts them"}`, [
        row(here),
        row(lane!, barred),
        ...others.map((other) => row(other, against)),
      ]);
    }
  }
}
