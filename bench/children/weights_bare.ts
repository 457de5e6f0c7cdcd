// A process that has only started its runtime: see ../weights/memory.ts.
import { answer } from "../support/child.ts";
import { settledMemory } from "../support/memory.ts";
import { held } from "../weights/held.ts";

await answer({
  async held(folder: string) {
    await settledMemory();
    return held(folder);
  },
});
