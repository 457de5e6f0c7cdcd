/** A session whose native one the floor can run too. */
import type { Pointer } from "../../ffi/mod.ts";
import { type InferenceSession, makeSession } from "../../src/session/inference_session.ts";
import { createNativeSession, releaseNativeSession } from "../../src/session/native_session.ts";
import { Reference } from "../../src/session/reference.ts";
import { SessionCore } from "../../src/session/session_core.ts";
import { type Case, THREADS } from "./cases.ts";

/** Loads a case as `InferenceSession.create` does, but gives its OrtSession away. */
export async function openSession(model: Case): Promise<{ session: InferenceSession; pointer: Pointer }> {
  const { pointer, weights, handle } = await createNativeSession(model.path, { intraOpNumThreads: THREADS });
  const core = new SessionCore(pointer, model.name);
  const reference = new Reference(model.name, () => {
    core.dispose();
    return releaseNativeSession(handle.take()!);
  });
  return { session: makeSession(core, weights, reference), pointer };
}
