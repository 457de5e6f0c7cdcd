/**
 * What does a call of a model worker cost over the least that two processes can do, over the same in this process, and
 * beside HTTP? Options: `--only=sync,async,silero,large` for a part.
 */
import { addCase, sileroCase } from "./support/cases.ts";
import { ScratchFolder } from "./support/ending.ts";
import { header } from "./support/report.ts";
import { measureAsync } from "./lane/async.ts";
import { WorkerProcess } from "./lane/lane.ts";
import { largeCase, measureLarge } from "./lane/large.ts";
import { chosen } from "./lane/options.ts";
import { measureSilero } from "./lane/silero.ts";
import { measureSync } from "./lane/sync.ts";

const PARTS = ["sync", "async", "silero", "large"] as const;

if (import.meta.main) {
  const parts = chosen("only", PARTS);
  await header("What does a call of a model worker cost over the least that two processes can do, and beside HTTP?");
  using folder = new ScratchFolder();
  const add = addCase(folder.path), silero = sileroCase(), large = largeCase(folder);
  using worker = new WorkerProcess(folder, "worker");
  await worker.serve([add, silero, large]);
  if (parts.includes("sync")) await measureSync(add, worker);
  if (parts.includes("async")) await measureAsync(add, worker);
  if (parts.includes("silero")) await measureSilero(silero, worker);
  if (parts.includes("large")) await measureLarge(large, worker);
}
