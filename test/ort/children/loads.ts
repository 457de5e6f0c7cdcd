// Creates a session and runs it, or prints why not: see library_test.ts.
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { add } from "../../support/models.ts";
import { floats } from "../../support/sessions.ts";

try {
  await using session = await InferenceSession.create(add());
  const { c } = await session.run({ a: floats([1, 2]), b: floats([1, 2]) });
  console.log(JSON.stringify({ result: [...c!.data] }));
} catch (error) {
  const { name, code, message } = error as Error & { code: string };
  console.log(JSON.stringify({ name, code, message }));
}
