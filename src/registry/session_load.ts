import { exclusively } from "../../ffi/process/shared.ts";
import { startOrt } from "../ort/environment.ts";
import { ProgressReport } from "../ort/load_progress.ts";
import { NativeLoad } from "../ort/native_load.ts";
import { releaseSession } from "../ort/release_session.ts";
import type { SessionOptions } from "../ort/session_options.ts";
import { loadPlanned } from "../session/native_session.ts";
import { planAtOnce, planSharing, type SharingPlan } from "../weights/share.ts";
import type { AcquireOptions, ModelKey } from "./key.ts";
import type { Load, Loaded } from "./load.ts";
import type { ModelStore } from "./model_store.ts";
import { readText, writeText } from "./slot_text.ts";
import { KIND, SLOT_U32, SLOT_U64 } from "./table.ts";

/** Why a load stopped that nobody waits for; nobody sees it. */
const GIVEN_UP = new DOMException("every waiter gave up", "AbortError");
/** How often a load that has not reached onnxruntime yet sees whether somebody waits for it. */
const LOOK_MS = 200;

/** Aborts when nobody waits for a slot's load any more. */
class Interest implements Disposable {
  readonly #store: ModelStore;
  readonly #slot: number;
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(store: ModelStore, slot: number) {
    this.#store = store;
    this.#slot = slot;
    this.#timer = setInterval(() => this.isGone && this.#controller.abort(GIVEN_UP), LOOK_MS);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isGone(): boolean {
    const { table } = this.#store;
    return table.getU32(this.#slot, SLOT_U32.retired) !== 0 && table.references(this.#slot) === 0;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The load of a session, whose memory the process shares: it goes on when this thread ends, if others wait for it. */
export function sessionLoad(store: ModelStore, key: ModelKey, options: SessionOptions & AcquireOptions): Load {
  return {
    text: key,
    kind: KIND.session,
    ttlMs: options.ttlMs,
    estimate: () => key.source().byteLength,
    unmake({ session, disown }) {
      disown?.();
      return releaseSession(session!);
    },
    async make(slot: number): Promise<Loaded> {
      using progress = new ProgressReport(options.onProgress);
      progress.phase("find");
      await startOrt();
      const { source, byteLength } = key.source(), { table } = store;
      progress.totalBytes = byteLength;
      using interest = new Interest(store, slot);
      const request = { source, byteLength, options: { ...options, signal: interest.signal }, progress };
      const plan = planAtOnce(request) ?? await planSharing(request);
      if ("bytes" in source) progress.phase("read");
      const begin = ({ source, options, sharing, sharedBytes }: SharingPlan): NativeLoad =>
        exclusively(() => {
          if (interest.isGone) throw GIVEN_UP;
          const prepared = NativeLoad.prepare(source, options);
          if (!store.shared) prepared.noteInLedger();
          writeText(table, slot, { ...readText(table, slot), sharing, sharedBytes });
          table.setU64(slot, SLOT_U64.loadByteLength, BigInt(prepared.mappedByteLength));
          table.setU64(slot, SLOT_U64.load, prepared.address);
          return prepared;
        });
      const abandon = (load: NativeLoad): void => {
        exclusively(() => table.setU64(slot, SLOT_U64.load, 0n));
        load.release();
      };
      const { load, pointer, weights } = await loadPlanned(request, plan, { begin, abandon });
      progress.phase("ready");
      return { session: pointer, weights, disown: () => load.disown(), release: () => load.release() };
    },
  };
}
