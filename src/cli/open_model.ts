import { ModelClient } from "../client/model_client.ts";
import { unlessAborted } from "../ort/unless_aborted.ts";
import { models } from "../registry/model_registry.ts";
import type { Model } from "../session/inference_session.ts";

/** A model that a command runs, wherever it is. */
export type OpenModel = Model & AsyncDisposable;

/** Which model is meant. */
export interface Target {
  /** The path of a model's file; of an endpoint's model its name. */
  readonly model: string;
  /** Where a worker listens, if not in this process. */
  readonly endpoint?: string | undefined;
  /** The version of an endpoint's model, where it matters. */
  readonly version?: string | undefined;
}

/** Loads a model, or connects to a worker that has it. The caller owns it. @throws as `models.load`, `ModelClient.connect` */
export async function openModel({ model, endpoint, version }: Target, signal: AbortSignal): Promise<OpenModel> {
  if (endpoint === undefined) return await models.load(model, { signal });
  const client = await unlessAborted(ModelClient.connect(endpoint), signal);
  try {
    const session = await unlessAborted(client.model(model, version), signal);
    return {
      inputs: session.inputs,
      outputs: session.outputs,
      run: (feeds, options) => session.run(feeds, options),
      runSync: (feeds, options) => session.runSync(feeds, options),
      [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
    };
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
}
