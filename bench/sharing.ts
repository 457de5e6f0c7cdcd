/**
 * What does sharing a model save? Real processes of this runtime hold it, and the system says what that takes: memory,
 * which mitata does not measure.
 */
import { writeFileSync } from "node:fs";
import { add, writeWeights } from "../test/support/models.ts";
import type { Held } from "./children/holder.ts";
import { Child } from "./support/child.ts";
import { percentile } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { megabytes, type Memory } from "./support/memory.ts";
import { atLeast, atMost, header, type Row, table } from "./support/report.ts";

const MODEL = 2e8, ROUNDS = 3, WORKERS = 8, AT_ONCE = 5;
/** Percent saved by so many nodes. */
const SAVED = { 3: 65, 10: 89 };
/** Percent of the model. */
const GROWTH = 5;

/** How a process holds a model. */
interface Case {
  readonly way: "separate" | "shared" | "atOnce" | "workers";
  readonly count: number;
  readonly small?: boolean;
}

const CASES: Record<string, Case> = {
  one: { way: "separate", count: 1 },
  "separate 3": { way: "separate", count: 3 },
  "shared 3": { way: "shared", count: 3 },
  "separate 10": { way: "separate", count: 10 },
  "shared 10": { way: "shared", count: 10 },
  "at once": { way: "atOnce", count: AT_ONCE },
  workers: { way: "workers", count: WORKERS },
  "small workers": { way: "workers", count: WORKERS, small: true },
};

/** What a case took: by itself, and with the process it was in. */
interface Found {
  readonly growth: Memory;
  readonly total: Memory;
  readonly loads: number;
}

type Models = { readonly large: string; readonly small: string; readonly other: string };

async function measure({ way, count, small }: Case, models: Models): Promise<Found> {
  using child = new Child(new URL("./children/holder.ts", import.meta.url));
  const before = await child.ask<Held>("start", models.other);
  const after = await child.ask<Held>("hold", way, small ? models.small : models.large, count);
  const growth = {
    pss: after.memory.pss - before.memory.pss,
    pssWithoutFiles: after.memory.pssWithoutFiles - before.memory.pssWithoutFiles,
  };
  return { growth, total: after.memory, loads: after.loads - before.loads };
}

class Results {
  readonly #found = new Map<string, Found[]>();

  add(name: string, found: Found): void {
    this.#found.set(name, [...this.#found.get(name) ?? [], found]);
  }

  /** The median of the rounds. */
  of(name: string, value: (found: Found) => number): number {
    return percentile(this.#found.get(name)!.map(value), 0.5);
  }

  growth(name: string): number {
    return this.of(name, ({ growth }) => growth.pssWithoutFiles);
  }

  /** The most native loads of any round. */
  loads(name: string): number {
    return Math.max(...this.#found.get(name)!.map(({ loads }) => loads));
  }
}

function nodes(results: Results, count: keyof typeof SAVED): Row {
  const separate = results.growth(`separate ${count}`), shared = results.growth(`shared ${count}`);
  const saved = 100 * (1 - shared / separate);
  return {
    nodes: count,
    "separate MB": megabytes(separate),
    "shared MB": megabytes(shared),
    "process, separate MB": megabytes(results.of(`separate ${count}`, ({ total }) => total.pss)),
    "process, shared MB": megabytes(results.of(`shared ${count}`, ({ total }) => total.pss)),
    "saved %": saved,
    ...atLeast(saved, SAVED[count], " %"),
  };
}

function together(results: Results, what: string, name: string, control: number): Row {
  const growth = results.growth(name), beyond = growth - results.growth("one") - control;
  const percent = 100 * beyond / MODEL, loads = results.loads(name), bar = atMost(percent, GROWTH, " %, 1 load");
  return {
    what,
    "native loads": loads,
    "PSS growth MB": megabytes(growth),
    "one create MB": megabytes(results.growth("one")),
    "control MB": megabytes(control),
    "beyond, % of the model": percent,
    ...bar,
    met: loads === 1 ? bar.met : "NO",
  };
}

if (import.meta.main) {
  await header("What does sharing a model save?");
  using folder = new ScratchFolder();
  const models = {
    large: folder.join("large.onnx"),
    small: folder.join("small.onnx"),
    other: folder.join("other.onnx"),
  };
  writeWeights({ path: models.large, byteLength: MODEL });
  writeWeights({ path: models.small, byteLength: 1024 });
  writeFileSync(models.other, add());
  const results = new Results();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, what] of Object.entries(CASES)) results.add(name, await measure(what, models));
  }
  table(
    `nodes on a model of ${megabytes(MODEL)} MB: PSS growth of the process, without pages of files; its whole PSS`,
    [
      nodes(results, 3),
      nodes(results, 10),
    ],
  );
  table(`loads of that model at once; control: ${WORKERS} Workers that load a model of 1 KB`, [
    together(results, `${AT_ONCE} loads at once`, "at once", 0),
    together(results, `${WORKERS} Workers at once`, "workers", results.growth("small workers")),
  ]);
}
