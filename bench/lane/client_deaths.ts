/** How long does it take until a worker has done with clients that died? */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { Case } from "../support/cases.ts";
import type { Child } from "../support/child.ts";
import { ScratchFolder } from "../support/ending.ts";
import type { Row } from "../support/report.ts";
import { BEFORE_MS, CLIENTS, HANGS_MS, IN_FLIGHT, kill, timesRow } from "./deaths.ts";
import { startClients, WorkerProcess } from "./lane.ts";
import { type Load, now, together } from "./load.ts";

const MOST_SECONDS = 30, LIVING_SECONDS = 3, WARM_SECONDS = 0.2, POLL_MS = 2, BAR_MS = 1000;

/** How many pieces of shared memory a process has mapped. */
function mappings(pid: number): number {
  return readFileSync(`/proc/${pid}/maps`, "utf8").split("\n").filter((line) => / \/(memfd:|dev\/shm\/)/.test(line))
    .length;
}

interface Half {
  /** From the kill until the worker counts those alone who live, and until it has let go of the others' memory. */
  readonly countMs: number;
  readonly memoryMs: number;
  /** Of those who live. */
  readonly loads: readonly Load[];
}

async function killClients(model: Case): Promise<Half> {
  using folder = new ScratchFolder();
  using closing = new DisposableStack();
  const worker = await closing.use(new WorkerProcess(folder, "worker")).serve([model]);
  const pid = await worker.child.ask<number>("pid"), clients = { workers: [worker], cases: [model], closing };
  const living = await startClients(CLIENTS / 2, clients);
  const ask = (client: Child, seconds: number): Promise<Load> =>
    client.ask<Load>("ask", worker.socket, model, { inFlight: IN_FLIGHT, seconds });
  await Promise.all(living.map((client) => ask(client, WARM_SECONDS))); // so that all that they need is mapped
  const mapped = mappings(pid), dying = await startClients(CLIENTS / 2, clients);
  const loads = Promise.all(living.map((client) => ask(client, LIVING_SECONDS)));
  for (const client of dying) void ask(client, MOST_SECONDS).catch(() => {});
  await wait(BEFORE_MS);
  if (mappings(pid) <= mapped) throw new Error("the worker maps nothing of those who are to die");
  const at = await kill(...dying);
  let countMs: number | undefined, memoryMs: number | undefined;
  while ((countMs === undefined || memoryMs === undefined) && now() - at < HANGS_MS) {
    if (mappings(pid) <= mapped) memoryMs ??= now() - at;
    if ((await worker.status()).clients.length === living.length) countMs ??= now() - at;
    await wait(POLL_MS);
  }
  return { countMs: countMs ?? HANGS_MS, memoryMs: memoryMs ?? HANGS_MS, loads: await loads };
}

/** Kills clients, and tells what became of the worker and of the others. */
export async function clientDeaths(model: Case, rounds: number): Promise<Row[]> {
  const halves: Half[] = [];
  while (halves.length < rounds) halves.push(await killClients(model));
  const { done, wrong, failed, codes } = together(halves.map(({ loads }) => loads));
  const row = (what: string, times: readonly number[]): Row =>
    timesRow(what, times, BAR_MS, wrong + failed === 0, "the others without error");
  return [
    row("until the worker counts the others alone", halves.map(({ countMs }) => countMs)),
    row("until it has no more of their memory", halves.map(({ memoryMs }) => memoryMs)),
    { what: "answers to the others", rounds, count: done },
    { what: "wrong answers and failures", rounds, count: wrong + failed, codes },
  ];
}
