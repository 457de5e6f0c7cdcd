/** Does loading and unloading leave memory behind? It is the system that says, and not mitata. */
import { Child } from "./support/child.ts";
import { megabytes } from "./support/memory.ts";
import { atMost, header, type Row, table } from "./support/report.ts";

const ROUNDS = 200, WARM = 20, WITHIN = 1.1;
/** One session of so many is leaked by the control. */
const LEAK_OF = 20;

async function measure(rounds: number, keep: number): Promise<number[]> {
  using child = new Child(new URL("./children/rounds.ts", import.meta.url));
  return await child.ask("rounds", rounds, WARM, keep);
}

function row(what: string, found: readonly number[]): Row {
  const warm = found[WARM - 1]!, last = found.at(-1)!;
  return {
    what,
    rounds: found.length,
    [`PSS after ${WARM} MB`]: megabytes(warm),
    "at the end MB": megabytes(last),
    "most MB": megabytes(Math.max(...found)),
    "end over warm": last / warm,
  };
}

if (import.meta.main) {
  await header("Does loading and unloading leave memory behind?");
  const ours = await measure(ROUNDS, ROUNDS + 1), leaking = await measure(ROUNDS / 2, LEAK_OF);
  table("PP-OCRv4 recognition, loaded, run and unloaded: PSS without pages of files", [
    { ...row("load, run, unload", ours), ...atMost(ours.at(-1)! / ours[WARM - 1]!, WITHIN, " x") },
    row(`control: one session of ${LEAK_OF} leaked`, leaking),
  ]);
}
