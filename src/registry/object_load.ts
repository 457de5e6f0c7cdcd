import { NativeError } from "../errors.ts";
import type { Load, Loaded } from "./load.ts";
import type { LoadedModel } from "./registry_types.ts";
import { KIND } from "./table.ts";

function check<T>(key: string, loaded: LoadedModel<T> | undefined): LoadedModel<T> {
  const problem = (what: string): Error => new NativeError("LOADER_FAILED", `Cannot load "${key}": ${what}`);
  if (typeof loaded !== "object" || loaded === null || loaded.model === undefined) {
    throw problem("its loader returned no { model }");
  }
  const { memoryBytes = 0 } = loaded;
  if (!(Number.isFinite(memoryBytes) && memoryBytes >= 0)) throw problem(`its loader declared ${memoryBytes} bytes`);
  return loaded;
}

/** The load of an object of this thread's own. */
export function objectLoad<T>(
  key: string,
  label: string,
  loader: (signal: AbortSignal) => LoadedModel<T> | Promise<LoadedModel<T>>,
  ttlMs: number | undefined,
): Load {
  const controller = new AbortController();
  return {
    text: { key, label, alias: key },
    kind: KIND.object,
    ttlMs,
    estimate: () => 0,
    unmake: ({ object }) => object?.dispose?.(object.object),
    cancel: () => controller.abort(new DOMException(`nobody waits for "${label}" any more`, "AbortError")),
    async make(): Promise<Loaded> {
      const { model, memoryBytes, dispose } = check(label, await loader(controller.signal));
      return {
        object: { object: model, dispose: dispose as ((model: unknown) => unknown) | undefined },
        weights: { bytes: memoryBytes ?? 0, shared: 0, source: memoryBytes === undefined ? "estimated" : "declared" },
      };
    },
  };
}
