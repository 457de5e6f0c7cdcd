// Sees the configuration of the process that it is a Worker of: see configured.ts.
import { parentPort } from "node:worker_threads";
import { configuration, configure } from "../../../src/ort/configuration.ts";

const seen = [`threads ${configuration().threads}`];
try {
  configure({ threads: 17 });
} catch (error) {
  seen.push((error as { code: string }).code);
}
parentPort!.postMessage(seen);
