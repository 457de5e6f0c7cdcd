/** A session whose native one the floor can run too. */
import type { Pointer } from "../../ffi/mod.ts";
import { type InferenceSession, makeSession } from "../../src/session/inference_session.ts";
import { releaseSession } from "../../src/ort/release_session.ts";
import { createNativeSession } from "../../src/session/native_session.ts";
import { Reference } from "../../src/session/reference.ts";
import { SessionCore } from "../../src/session/session_core.ts";
import { type Case, THREADS } from "./cases.ts";

/** Loads a case as `InferenceSession.create` does, but gives its OrtSession away. */
export async function openSession(model: Case): Promise<{ session: InferenceSession; pointer: Pointer }> {
  const made = await createNativeSession(model.path, { intraOpNumThreads: THREADS }), { pointer, handle } = made;
  const core = new SessionCore(pointer, model.name);
  const reference = new Reference(model.name, () => {
    core.dispose();
    return releaseSession(handle.take()!);
  });
  return { session: makeSession(core, made, reference), pointer };
}
