/** A process that does what its parent asks for, until that ends its input. */
import process from "node:process";
import { createInterface } from "node:readline";
import { actions } from "./actions.ts";

/** What of an error travels. */
function described(error: unknown) {
  const { name, message, code, neededBytes, availableBytes } = error as Record<string, unknown>;
  return { name, message, code, neededBytes, availableBytes };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [action, ...args] = JSON.parse(line);
  // deno-lint-ignore no-explicit-any -- what travels is checked where it is sent
  const answer = await Promise.try((actions as any)[action], ...args).then(
    (value) => ({ value }),
    (error) => ({ error: described(error) }),
  );
  console.log(JSON.stringify(answer));
}
process.exit();
