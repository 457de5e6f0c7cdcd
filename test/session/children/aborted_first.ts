// Aborts the first load of a process while onnxruntime is looked for: see abort_test.ts.
import process from "node:process";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { add } from "../../support/models.ts";

const stop = new AbortController();
const creating = InferenceSession.create(add(), {
  signal: stop.signal,
  onProgress: ({ phase }) => phase === "find" && stop.abort(new Error("changed my mind")),
});
await creating.then((session) => session[Symbol.dispose](), ({ message }) => console.log(`rejected: ${message}`));
console.log("END");
process.exit(0);
