// Ends the process in the middle of runs and loads: see exit_test.ts.
import process from "node:process";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { manyNodes, slow } from "../../support/models.ts";
import { open, slowFeeds } from "../../support/sessions.ts";

const [what, how] = process.argv.slice(2);
if (what === "run") {
  const session = await open(slow());
  for (let i = 0; i < 10; i++) void session.run(slowFeeds(300)).catch(() => {});
} else if (what === "load") {
  for (let i = 0; i < 5; i++) void InferenceSession.create(manyNodes(6000)).catch(() => {});
} else {
  const session = await open(slow(64));
  await session.run(slowFeeds(10, 64));
}
console.log("END");
if (how === "exit") setTimeout(() => process.exit(7), 30);
if (how === "throw") {
  setTimeout(() => {
    throw new Error("thrown on purpose");
  }, 30);
}
