/**
 * Does a worker's memory grow over 100,000 requests over HTTP? Beside it, a server that keeps 1 KiB of each, which has to
 * be seen to grow. Options: `--requests=100000`, and
 * `--warm=50000` that come before: JavaScriptCore makes room for more until its first full collection, after some 300,000.
 */
import { addCase, type Case } from "./support/cases.ts";
import { Child } from "./support/child.ts";
import { ScratchFolder } from "./support/ending.ts";
import { megabytes, type Memory } from "./support/memory.ts";
import { atLeast, atMost, type Bar, header, type Row, table } from "./support/report.ts";
import { numberOption } from "./lane/options.ts";
import { answersOf, startEmpty } from "./oip/empty.ts";
import { keepPosting } from "./oip/load.ts";
import { caseRequest, FORMS, type Server } from "./oip/requests.ts";
import { HttpWorker } from "./oip/worker.ts";

const REQUESTS = 100_000, SAMPLES = 10, CONNECTIONS = 16, WARM = 50_000, KEEPS = 1024;
/** By how much what is no garbage may grow, and the most that is held at any time. */
const FLAT = 1.05, WITHIN = 1.1;

/** A process that is asked, what it holds each time, and what of it is no garbage at the beginning and the end. */
interface Watched {
  readonly name: string;
  readonly child: Child;
  readonly server: Server;
  readonly held: Memory[];
  readonly collected: Memory[];
}

/** Asks so often. */
async function ask({ server }: Watched, model: Case, most: number): Promise<void> {
  const { wrong } = await keepPosting(CONNECTIONS, FORMS.map((form) => caseRequest(server, model, form)), { most });
  if (wrong > 0) throw new Error(`${wrong} answers of another size`);
}

/** Asks each of them in turn; garbage is collected before the first sample and after the last alone. */
async function watch(watched: readonly Watched[], model: Case, warm: number, requests: number): Promise<void> {
  for (const each of watched) {
    await ask(each, model, warm);
    each.collected.push(await each.child.ask<Memory>("collectedMemory"));
  }
  for (let sample = 0; sample < SAMPLES; sample++) {
    for (const each of watched) {
      await ask(each, model, requests / SAMPLES);
      each.held.push(await each.child.ask<Memory>("settledMemory"));
    }
  }
  for (const { child, collected } of watched) collected.push(await child.ask<Memory>("collectedMemory"));
}

/** A line for each sample: what it decides by leaves pages of files out, as these tell who else uses them. */
function samples([worker, control]: readonly [Watched, Watched], requests: number): Row[] {
  return worker.held.map((held, i) => ({
    requests: requests / SAMPLES * (i + 1),
    "worker MB": megabytes(held.pss),
    "without files MB": megabytes(held.pssWithoutFiles),
    "control MB": megabytes(control.held[i]!.pss),
    "control without files MB": megabytes(control.held[i]!.pssWithoutFiles),
  }));
}

function growth(what: string, first: readonly Memory[], last: readonly Memory[], bar: (times: number) => Bar): Row {
  const most = (of: readonly Memory[]): number => Math.max(...of.map(({ pssWithoutFiles }) => pssWithoutFiles));
  const times = most(last) / most(first);
  return { what, "first MB": megabytes(most(first)), "last MB": megabytes(most(last)), times, ...bar(times) };
}

function tell(both: readonly [Watched, Watched], warm: number, requests: number): void {
  const [worker, control] = both, half = SAMPLES / 2;
  table(`PSS after so many requests, JSON and binary in turn, beyond ${warm} that warm up`, samples(both, requests));
  const collected = ({ name, collected: [first, last] }: Watched, bar: (times: number) => Bar): Row =>
    growth(`${name}, garbage collected, before and after`, [first!], [last!], bar);
  table("PSS without files", [
    collected(worker, (times) => atMost(times, FLAT, " x")),
    growth(
      `${worker.name}, most of each half`,
      worker.held.slice(0, half),
      worker.held.slice(half),
      (times) => atMost(times, WITHIN, " x"),
    ),
    collected(control, (times) => atLeast(times, FLAT, " x")),
  ]);
}

if (import.meta.main) {
  const requests = numberOption("requests", REQUESTS), warm = numberOption("warm", WARM);
  await header(`Does a worker's memory grow over ${requests} requests over HTTP?`);
  using folder = new ScratchFolder();
  using child = new Child(new URL("./children/oip_empty.ts", import.meta.url));
  const add = addCase(folder.path);
  using worker = await HttpWorker.start(folder, [add]);
  const server = await startEmpty(child, await answersOf(worker.server, add), KEEPS);
  const both: readonly [Watched, Watched] = [
    { name: "a worker", child: worker.child, server: worker.server, held: [], collected: [] },
    { name: `control: keeps ${KEEPS} bytes of each`, child, server, held: [], collected: [] },
  ];
  await watch(both, add, warm, requests);
  tell(both, warm, requests);
}
