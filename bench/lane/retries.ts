/** Do clients that may retry get all their answers when the worker dies and is started again? */
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import type { Case } from "../support/cases.ts";
import { ScratchFolder } from "../support/ending.ts";
import { atMost, type Row } from "../support/report.ts";
import { BEFORE_MS, CLIENTS, IN_FLIGHT, inSharedMemory, leftSince } from "./deaths.ts";
import { startClients } from "./lane.ts";
import { type Load, together } from "./load.ts";
import { Supervised } from "./supervised.ts";

const RETRY_SECONDS = 6;

/** With retries allowed, and a worker that is started again. */
export async function retries(model: Case): Promise<Row[]> {
  using folder = new ScratchFolder();
  using closing = new DisposableStack();
  const before = inSharedMemory(), rows: Row[] = [];
  {
    await using supervised = await Supervised.start(folder, model);
    const options = { retry: { idempotent: true } };
    const clients = await startClients(CLIENTS, { workers: [supervised], cases: [model], closing, options });
    const loads = Promise.all(
      clients.map((client) =>
        client.ask<Load>("ask", supervised.socket, model, { inFlight: IN_FLIGHT, seconds: RETRY_SECONDS })
      ),
    );
    await wait(BEFORE_MS);
    const { pid: first } = await supervised.status();
    process.kill(first, "SIGKILL");
    const { done, wrong, failed, codes, longestUs } = together([await loads]);
    const isAnother = (await supervised.status()).pid !== first;
    rows.push(
      { what: "answers", count: done },
      {
        what: "wrong answers and failures",
        count: wrong + failed,
        codes,
        bar: "<= 0",
        met: wrong + failed === 0 && isAnother ? "yes" : "NO",
      },
      { what: "longest wait for an answer, ms", count: longestUs / 1000 },
    );
  }
  closing.dispose();
  const left = leftSince(before);
  return [...rows, { what: "files left in /dev/shm", count: left, ...atMost(left, 0) }];
}
