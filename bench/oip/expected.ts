/** What a model answers, whoever serves it. */
import { InferenceSession } from "../../mod.ts";
import { decodeInferResponse } from "../../src/protocol/oip/infer_response.ts";
import { type Case, makeTensors, THREADS } from "../support/cases.ts";
import type { Answer } from "./clients.ts";
import type { Form } from "./requests.ts";

/** How far two builds of onnxruntime may be apart. */
const TOLERANCE = 1e-5;

/** Refuses an answer that is not what this process makes of the case. @throws */
export async function checkAnswer(who: string, model: Case, form: Form, { headers, body }: Answer): Promise<void> {
  const length = headers["inference-header-content-length"];
  if ((length !== undefined) !== (form === "binary")) throw new Error(`${who} did not answer in ${form}`);
  const { outputs } = decodeInferResponse(new Uint8Array(body), length === undefined ? undefined : Number(length));
  await using session = await InferenceSession.create(model.path, { intraOpNumThreads: THREADS });
  using own = session.runSync(makeTensors(model.inputs, "heap"));
  for (const { name } of model.outputs) {
    const wanted = own[name]!.data as Float32Array, found = outputs.find((output) => output.name === name)?.tensor;
    const isSame = found?.size === wanted.length &&
      wanted.every((value, i) => Math.abs(value - Number(found.data[i])) <= TOLERANCE);
    if (!isSame) throw new Error(`${who} answered another ${name}`);
  }
}
