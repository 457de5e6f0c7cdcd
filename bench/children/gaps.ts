// Does what loop_gaps.ts measures, in a process of its own: it burns the same CPU, but on another event loop.
import { answer } from "../support/child.ts";
import { Steps } from "../support/steps.ts";

let steps: Steps;

await answer({
  open: async (large: string, iterations: number) => {
    steps = await Steps.open(large, iterations);
  },
  take: (name: keyof Steps["all"]) => steps.all[name](),
});
