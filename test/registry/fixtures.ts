import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { ModelRegistry, RegistryEventDetail, RegistryEventType } from "../../mod.ts";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { manyNodes } from "../support/models.ts";
import { floats } from "../support/sessions.ts";

/** A folder of small models. */
export class ModelFolder extends TemporaryFolder {
  /** Writes a model that adds `increment`, one node for each 1, and returns its path. */
  model(name: string, increment: number = 1): string {
    writeFileSync(this.join(name), manyNodes(increment));
    return this.join(name);
  }
}

/** What a model of a {@linkcode ModelFolder} adds. */
export function increment(session: InferenceSession): number {
  return session.runSync({ x: floats([0]) }).y!.as("float32").data[0]!;
}

/** What the next event of a kind tells, that of one model if it is named. Rejects after a minute. */
export function next(registry: ModelRegistry, type: RegistryEventType, key?: string): Promise<RegistryEventDetail> {
  const { promise, resolve, reject } = Promise.withResolvers<RegistryEventDetail>();
  const watchdog = setTimeout(() => reject(new Error(`waited in vain for "${type}"`)), 60_000); // keeps the loop alive
  const listener = (event: { detail?: RegistryEventDetail }): void => {
    const detail = event.detail!;
    if (key !== undefined && detail.key !== key) return;
    registry.removeEventListener(type, listener as EventListener);
    clearTimeout(watchdog);
    resolve(detail);
  };
  registry.addEventListener(type, listener as EventListener);
  return promise;
}

/** What the events of some kinds tell from now on. */
export function record(registry: ModelRegistry, ...types: RegistryEventType[]): [RegistryEventType, string][] {
  const seen: [RegistryEventType, string][] = [];
  for (const type of types) {
    registry.addEventListener(
      type,
      (event) => seen.push([type, (event as CustomEvent<RegistryEventDetail>).detail.key]),
    );
  }
  return seen;
}

/** Waits for what another thread brings about. @throws {Error} after a minute */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(5)) if (await condition()) return;
  throw new Error(`waited in vain until ${what}`);
}
