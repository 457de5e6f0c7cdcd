import { ModelClient } from "../../client/model_client.ts";
import { WorkerError } from "../../errors.ts";
import { unlessAborted } from "../../ort/unless_aborted.ts";
import type { WorkerStatus } from "../../protocol/status.ts";
import { ago } from "../prepare/units.ts";

/** For how long a worker may think about who it is, in ms. */
const ASK_MS = 2000;

/** The worker at a socket; `undefined` where none answers. */
export async function whoServes(socket: string): Promise<WorkerStatus | undefined> {
  const options = { timeoutMs: ASK_MS, sharedMemory: false, name: "coload serve" }, late = AbortSignal.timeout(ASK_MS);
  try {
    await using client = await ModelClient.connect(socket, options);
    return await unlessAborted(client.status(), late);
  } catch (error) {
    if (error instanceof WorkerError || error === late.reason) return undefined;
    throw error;
  }
}

/** Says who serves at a socket. */
export function describeServer(socket: string, { pid, startedAt, models }: WorkerStatus): string {
  const names = models.map(({ name }) => name).join(", ");
  const since = `${new Date(startedAt).toISOString()} (${ago(startedAt)})`;
  return `A worker is running at ${socket} already: pid ${pid}, since ${since}, with ${names}`;
}
