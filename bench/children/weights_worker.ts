// A Worker that loads a model for itself when it is told to, and holds it: see ./weights_holder.ts.
import { configure, InferenceSession } from "../../mod.ts";
import { startOrt } from "../../src/ort/environment.ts";
import type { Fed, Way } from "../weights/models.ts";
import { noise } from "../weights/noise.ts";

/** What a Worker is told: to start without a model, or to load one. */
export interface Asked {
  readonly cacheDir: string;
  readonly fed?: Fed;
  readonly way?: Way;
}

interface Scope {
  onmessage: (event: { readonly data: Asked }) => void;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope, held: InferenceSession[] = [];

scope.onmessage = async ({ data: { cacheDir, fed, way } }) => {
  configure({ cacheDir });
  await startOrt();
  if (fed !== undefined) {
    const session = await InferenceSession.create(fed.path, way);
    const { mode, reason } = session.sharing;
    if (mode !== way?.shareWeights) throw new Error(`loaded ${mode}: ${reason}`);
    (await session.run({ [session.inputs[0]!.name]: noise(fed.shape, 1) }))[Symbol.dispose]();
    held.push(session);
  }
  scope.postMessage(held.length);
};
scope.postMessage(0);
