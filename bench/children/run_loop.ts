// Runs without ever disposing of a result: see ../run_loop.ts.
import { InferenceSession, Tensor, type Tensors } from "../../mod.ts";
import { identity } from "../../test/support/models.ts";
import { answer } from "../support/child.ts";
import { memory } from "../support/memory.ts";

/** Runs between two looks at the memory. */
const LOOK_EVERY = 50;

const kept: Tensors[] = [];

const ways = {
  run: (session: InferenceSession, x: Tensor) => session.run({ x }),
  runSync: (session: InferenceSession, x: Tensor) => session.runSync({ x }),
  native: (session: InferenceSession, x: Tensor) => session.run({ x }, { outputStorage: "native" }),
  keep: async (session: InferenceSession, x: Tensor) => kept.push(await session.run({ x })),
};

await answer({
  /** Growth of PSS, as found every so often, in bytes. */
  async loop(way: keyof typeof ways, runs: number, elements: number): Promise<number[]> {
    await using session = await InferenceSession.create(identity("float32", [elements]));
    const x = Tensor.zeros("float32", [elements]), run = ways[way], found: number[] = [];
    const before = memory().pssWithoutFiles;
    for (let i = 1; i <= runs; i++) {
      const result = run(session, x);
      if (result instanceof Promise) await result;
      if (i % LOOK_EVERY === 0) found.push(memory().pssWithoutFiles - before);
    }
    return found;
  },
});
