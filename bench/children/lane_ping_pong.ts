// The end that is called: see ../lane/ping_pong.ts.
import { InferenceSession, Tensor, type TensorRef } from "../../mod.ts";
import { pinTo } from "../lane/cores.ts";
import { answerCalls, type PageReference } from "../lane/ping_pong.ts";
import { type Case, makeTensors, THREADS } from "../support/cases.ts";
import { answer } from "../support/child.ts";

await answer({
  pin: pinTo,
  answerCalls: (page: PageReference) => answerCalls(page),
  /** The same, with a run of a model for each call. */
  async answerRuns(page: PageReference, { path, inputs, outputs }: Case): Promise<void> {
    const session = await InferenceSession.create(path, { intraOpNumThreads: THREADS });
    const binding = session.bind(makeTensors(inputs, "native"), makeTensors(outputs, "native"));
    answerCalls(page, () => binding.runSync());
  },
  /** The same on tensors in shared memory, by the names of the inputs. */
  async answerRunsOn(page: PageReference, { path }: Case, refs: Readonly<Record<string, TensorRef>>): Promise<void> {
    const session = await InferenceSession.create(path, { intraOpNumThreads: THREADS });
    const feeds = Object.fromEntries(Object.entries(refs).map(([name, ref]) => [name, Tensor.open(ref)]));
    answerCalls(page, () => session.runSync(feeds));
  },
});
