/**
 * How long does it take until those who live on know of a death? A worker under load is killed, alone and with `coload
 * serve`, which starts it again, then half of its clients. Options: `--rounds=5`, `--only=worker,retries,clients`.
 */
import { sileroCase } from "./support/cases.ts";
import { header, table } from "./support/report.ts";
import { clientDeaths } from "./lane/client_deaths.ts";
import { CLIENTS, IN_FLIGHT } from "./lane/deaths.ts";
import { chosen, numberOption } from "./lane/options.ts";
import { retries } from "./lane/retries.ts";
import { workerDeaths } from "./lane/worker_deaths.ts";

const ROUNDS = 5, PARTS = ["worker", "retries", "clients"] as const;

if (import.meta.main) {
  const rounds = numberOption("rounds", ROUNDS), parts = chosen("only", PARTS), model = sileroCase();
  const each = `${IN_FLIGHT} requests in flight each`;
  await header("How long does it take until those who live on know of a death?");
  if (parts.includes("worker")) {
    table(`a worker is killed, ${CLIENTS} clients, ${each}`, await workerDeaths(model, rounds));
  }
  if (parts.includes("retries")) {
    table(`it is killed and started again, ${CLIENTS} clients, ${each}`, await retries(model));
  }
  if (parts.includes("clients")) {
    table(`${CLIENTS / 2} of ${CLIENTS} clients are killed, ${each}`, await clientDeaths(model, rounds));
  }
}
