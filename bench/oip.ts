/**
 * What does an inference over HTTP cost over an empty handler of the same server library, and what do the ways to send a
 * large input cost? Options: `--only=empty,large` for a part.
 */
import { addCase } from "./support/cases.ts";
import { ScratchFolder } from "./support/ending.ts";
import { header } from "./support/report.ts";
import { largeCase } from "./lane/large.ts";
import { chosen } from "./lane/options.ts";
import { measureEmpty } from "./oip/empty.ts";
import { measureLarge } from "./oip/large.ts";
import { HttpWorker } from "./oip/worker.ts";

const PARTS = ["empty", "large"] as const;

if (import.meta.main) {
  const parts = chosen("only", PARTS);
  await header("What does an inference over HTTP cost over an empty handler, and a large one in each form?");
  using folder = new ScratchFolder();
  const add = addCase(folder.path), large = largeCase(folder);
  using worker = await HttpWorker.start(folder, [add, large]);
  if (parts.includes("empty")) await measureEmpty(add, worker);
  if (parts.includes("large")) await measureLarge(large, worker);
}
