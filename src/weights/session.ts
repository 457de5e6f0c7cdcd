import type { Pointer } from "../../ffi/mod.ts";
import { type LoadSource, NativeLoad } from "../ort/native_load.ts";
import { releaseSession, trimMemory } from "../ort/release_session.ts";
import type { NativeSessionOptions } from "../ort/session_options.ts";
import type { SharingMode } from "./key.ts";

/** How a prepared copy is loaded: as it was written, so without rewriting its graph once more. */
export function copyOptions(options: NativeSessionOptions, mode: SharingMode): NativeSessionOptions {
  const extra = mode === "mapped" ? { ...options.extra, "session.disable_prepacking": "1" } : options.extra;
  return { ...options, graphOptimizationLevel: "disabled", ...(extra && { extra }) };
}

/**
 * Has a session while `use` goes on, and not longer. When the signal aborts, onnxruntime is asked to stop; this settles
 * when it has.
 */
export async function withSession<T>(
  source: LoadSource,
  options: NativeSessionOptions,
  signal: AbortSignal | undefined,
  use: (session: Pointer) => T | Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const load = NativeLoad.prepare(source, options), cancel = (): void => load.cancel();
  load.noteInLedger();
  signal?.addEventListener("abort", cancel);
  try {
    const session = await load.run();
    try {
      signal?.throwIfAborted();
      return await use(session);
    } finally {
      load.disown();
      await releaseSession(session);
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    load.release();
    await trimMemory();
  }
}
