import { exclusively } from "../../ffi/process/shared.ts";
import { startOrt } from "../ort/environment.ts";
import { NativeLoad } from "../ort/native_load.ts";
import type { SessionOptions } from "../ort/session_options.ts";
import { finishLoad, ProgressReport, releaseNativeSession } from "../session/native_session.ts";
import type { AcquireOptions, ModelKey } from "./key.ts";
import type { Load, Loaded } from "./load.ts";
import type { ModelStore } from "./model_store.ts";
import { KIND, SLOT_U32, SLOT_U64 } from "./table.ts";

/** Why a load stopped that nobody waits for; nobody sees it. */
const GIVEN_UP = new DOMException("every waiter gave up", "AbortError");

/** The load of a session, whose memory the process shares: it goes on when this thread ends, if others wait for it. */
export function sessionLoad(store: ModelStore, key: ModelKey, options: SessionOptions & AcquireOptions): Load {
  return {
    text: key,
    kind: KIND.session,
    ttlMs: options.ttlMs,
    estimate: () => key.source().byteLength,
    unmake({ session, disown }) {
      disown?.();
      return releaseNativeSession(session!);
    },
    async make(slot: number): Promise<Loaded> {
      using progress = new ProgressReport(options.onProgress);
      progress.phase("find");
      await startOrt();
      const { source, byteLength } = key.source(), { table } = store;
      progress.totalBytes = byteLength;
      if ("bytes" in source) progress.phase("read");
      const load = exclusively(() => {
        if (table.getU32(slot, SLOT_U32.retired) && table.references(slot) === 0) throw GIVEN_UP;
        const prepared = NativeLoad.prepare(source, options);
        if (!store.shared) prepared.noteInLedger();
        table.setU64(slot, SLOT_U64.loadByteLength, BigInt(prepared.mappedByteLength));
        table.setU64(slot, SLOT_U64.load, prepared.address);
        return prepared;
      });
      try {
        progress.phase("create");
        const { pointer, weights } = await finishLoad(load, byteLength);
        progress.phase("ready");
        return { session: pointer, weights, disown: () => load.disown(), release: () => load.release() };
      } catch (error) {
        exclusively(() => table.setU64(slot, SLOT_U64.load, 0n));
        load.release();
        throw error;
      }
    },
  };
}
