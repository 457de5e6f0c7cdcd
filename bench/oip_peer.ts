/**
 * What does a worker make of 16 connections over HTTP, beside MLServer of PyPI with the same model? Options:
 * `--seconds=10` for each of them in all, `--only=silero,Add`.
 */
import process from "node:process";
import { addCase, type Case, sileroCase } from "./support/cases.ts";
import { ScratchFolder } from "./support/ending.ts";
import { atLeast, atMost, header, remark, type Row, table } from "./support/report.ts";
import { type Load, type Together, together } from "./lane/load.ts";
import { chosen, numberOption } from "./lane/options.ts";
import { openClient } from "./oip/clients.ts";
import { checkAnswer } from "./oip/expected.ts";
import { keepPosting } from "./oip/load.ts";
import { findPython, HOW_TO_MAKE, MlServer, type PythonEnvironment } from "./oip/mlserver.ts";
import { caseRequest, type Form, type Server } from "./oip/requests.ts";
import { HttpWorker } from "./oip/worker.ts";

const CONNECTIONS = 16, ROUNDS = 3, SECONDS = 10, WARM_SECONDS = 2, TIMES = 3, P99 = 0.5;
const WORKER = "a worker, JSON", PEER = "peer: MLServer, JSON";

/** Who is asked, and how. */
interface Way {
  readonly name: string;
  readonly server: Server;
  readonly form: Form;
}

async function measure(model: Case, ways: readonly Way[], seconds: number): Promise<void> {
  const asked = ways.map(({ server, form }) => [caseRequest(server, model, form)]);
  const loads: Load[][] = ways.map(() => []);
  for (const [i, { form, name }] of ways.entries()) {
    using client = openClient("node:net");
    await checkAnswer(name, model, form, await client.post(asked[i]![0]!));
    await keepPosting(CONNECTIONS, asked[i]!, { seconds: WARM_SECONDS });
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const i of ways.keys()) {
      loads[i]!.push(await keepPosting(CONNECTIONS, asked[i]!, { seconds: seconds / ROUNDS }));
    }
  }
  tell(model, new Map(ways.map(({ name }, i) => [name, together(loads[i]!.map((load) => [load]))])));
}

function tell(model: Case, found: ReadonlyMap<string, Together>): void {
  const peer = found.get(PEER)!;
  const rows = [...found].map(([name, { done, wrong, rate, p50Us, p99Us }]): Row => {
    const times = rate / peer.rate, p99 = p99Us / peer.p99Us;
    const row = { what: name, answers: done, wrong, "answers/s": rate, "p50 us": p50Us, "p99 us": p99Us };
    if (name === PEER) return row;
    const bars = [atLeast(times, TIMES, " x its answers/s"), atMost(p99, P99, " x its p99")];
    const bar = { bar: bars.map(({ bar }) => bar).join(", "), met: bars.map(({ met }) => met).join(", ") };
    return { ...row, "x MLServer's answers/s": times, "x its p99": p99, ...(name === WORKER && bar) };
  });
  table(`${model.name} over HTTP, ${CONNECTIONS} connections with one request in flight each`, rows);
}

async function besides(python: PythonEnvironment, model: Case, seconds: number, folder: ScratchFolder): Promise<void> {
  using worker = await HttpWorker.start(folder, [model]);
  using peer = await MlServer.start(python, model, folder);
  const ways: readonly Way[] = [
    { name: WORKER, server: worker.server, form: "JSON" },
    { name: "a worker, binary", server: worker.server, form: "binary" },
    { name: PEER, server: peer.server, form: "JSON" },
  ];
  await measure(model, ways, seconds);
}

if (import.meta.main) {
  const seconds = numberOption("seconds", SECONDS), models = chosen("only", ["silero", "Add"]);
  const python = findPython();
  if (python === undefined) {
    console.error(HOW_TO_MAKE);
    process.exit(1);
  }
  await header("What does a worker make of many connections over HTTP, beside MLServer?");
  remark(`peer ${python.versions}; MLServer takes JSON alone`);
  for (const name of models) {
    using folder = new ScratchFolder();
    await besides(python, name === "Add" ? addCase(folder.path) : sileroCase(), seconds, folder);
  }
}
