/** What does giving activations back cost, and save? PP-OCRv4's detection on a picture of 640 x 640, in one process. */
import { setTimeout as wait } from "node:timers/promises";
import { InferenceSession, type SessionOptions, Tensor } from "../mod.ts";
import { calling, contest, ratio } from "./support/contest.ts";
import { detectionPath } from "./support/cases.ts";
import { megabytes, memory } from "./support/memory.ts";
import { header, type Row, table } from "./support/report.ts";

const SHAPE = [1, 3, 640, 640], RUNS = 3;
/** Longer than a session takes to be taken for idle, and to give its memory back. */
const IDLE_MS = 2500;

const WAYS: Readonly<Record<string, SessionOptions>> = {
  'shrinkArena: "never"': { shrinkArena: "never" },
  'shrinkArena: "idle"': { shrinkArena: "idle" },
  'shrinkArena: "run"': { shrinkArena: "run" },
  "enableCpuMemArena: false": { enableCpuMemArena: false },
};

if (import.meta.main) {
  await header("What does giving activations back cost, and save?");
  const input = Tensor.from(Float32Array.from({ length: 3 * 640 * 640 }, (_, i) => Math.sin(i)), SHAPE);
  const sessions: InferenceSession[] = [], held: { readonly ran: number; readonly idle: number }[] = [];
  const run = (session: InferenceSession): unknown => session.runSync({ [session.inputs[0]!.name]: input });
  for (const options of Object.values(WAYS)) {
    const session = await InferenceSession.create(detectionPath(), { shareWeights: "off", ...options });
    const before = memory().pssWithoutFiles;
    for (let i = 0; i < RUNS; i++) run(session);
    const ran = memory().pssWithoutFiles - before;
    await wait(IDLE_MS);
    held.push({ ran, idle: memory().pssWithoutFiles - before });
    sessions.push(session);
  }
  const names = Object.keys(WAYS);
  const results = await contest(sessions.map((session, i) => calling(names[i]!, () => run(session))), 15, 300);
  table(
    "a run, and what the process holds beyond the loaded model: after runs, and when it was idle",
    results.map((result, i): Row => ({
      how: result.name,
      "run ms": result.p50 / 1e6,
      "p99 ms": result.p99 / 1e6,
      "x never": ratio(result, results[0]!),
      "ran MB": megabytes(held[i]!.ran),
      "idle MB": megabytes(held[i]!.idle),
    })),
  );
  for (const session of sessions) session[Symbol.dispose]();
}
