/** What a process holds that is no garbage. */
import { collectUntil } from "../../test/support/gc.ts";
import { type Memory, settledMemory } from "../support/memory.ts";

const COLLECTIONS = 5;

/** Collects garbage, and says what is left when that is settled. */
export async function collectedMemory(): Promise<Memory> {
  let collected = 0;
  await collectUntil(() => ++collected === COLLECTIONS);
  return await settledMemory();
}
