import type { Pointer } from "../../../ffi/mod.ts";
import type { Handle } from "../../handle.ts";
import { ort } from "../../ort/environment.ts";
import { check } from "../../ort/status.ts";
import { MalformedDescription, readRequest } from "../../protocol/description.ts";
import { violation } from "../../protocol/frames.ts";
import { MOST_DESCRIPTION_BYTES } from "../../protocol/limits.ts";
import { SLOT, slotWord } from "../../protocol/lane_layout.ts";
import { releaseRunOptions } from "../../session/idle_arena.ts";
import { coreOf, type InferenceSession } from "../../session/inference_session.ts";
import type { SessionCore } from "../../session/session_core.ts";
import { type AddressWords, addressWords } from "../board/runs.ts";
import { Batch } from "./batch.ts";
import { Joining } from "./joining.ts";
import type { LaneView } from "./lane_view.ts";
import type { FromExecutor, ModelSettings, ToExecutor } from "./messages.ts";
import { Plan } from "./plan.ts";
import { Sequences } from "./sequences.ts";

type Load = Extract<ToExecutor, { readonly kind: "load" }>;

/** Batches of different sizes and shapes whose memory is kept for the next one. */
const MOST_BATCHES = 16;

/** A slot's request as it was last, with the plan that was made of it. */
interface Planned {
  readonly byteOffset: number;
  /** Where the client writes. */
  readonly source: Uint32Array;
  /** What it had written. */
  readonly copy: Uint32Array;
  readonly plan: Plan;
  readonly isOnce: boolean;
}

/** What a model has for one client. */
interface ClientPlans {
  readonly generation: number;
  readonly bySlot: (Planned | undefined)[];
  sequences: Sequences | undefined;
}

/** A model as one executor runs it. */
export class ServedModel implements Disposable {
  readonly session: InferenceSession;
  readonly core: SessionCore;
  readonly settings: ModelSettings;
  readonly epoch: number;
  /** Which requests are joined; `undefined` where none are. */
  readonly joining: Joining | undefined;
  /** Where its run options lie. */
  readonly runOptionsAddress: AddressWords;
  /** What a run takes as a rule, in ms. */
  runMs = 0;
  readonly #runOptions: Handle;
  readonly #clients = new Map<number, ClientPlans>();
  readonly #batches = new Map<string, Batch>();
  readonly #state: ReadonlySet<string>;

  /** @param session whose reference it owns from here on */
  constructor(
    session: InferenceSession,
    { model, epoch, settings }: Pick<Load, "model" | "epoch" | "settings">,
    tell: (message: FromExecutor) => void,
  ) {
    this.session = session;
    this.core = coreOf(session);
    this.settings = settings;
    this.epoch = epoch;
    this.joining = settings.axes && new Joining(settings.axes, model, epoch, tell);
    this.#runOptions = this.core.makeRunOptions();
    this.runOptionsAddress = addressWords(this.#runOptions.address);
    this.#state = new Set(Object.keys(settings.state));
  }

  /** Options of this executor's runs of the model, one at a time. */
  get runOptions(): Pointer {
    return this.#runOptions.pointer!;
  }

  /** Makes the options usable again after a run that was told to stop. */
  resetRunOptions(): void {
    check(ort().api.RunOptionsUnsetTerminate(this.runOptions), "reset run options");
  }

  /**
   * The plan of a slot's request: the one before, where the client wrote the same again.
   *
   * @throws {WorkerError} WORKER_PROTOCOL @throws as the constructor of {@linkcode Plan}
   */
  plan(client: number, lane: LaneView, slot: number): Plan {
    const plans = this.#plansOf(client, lane), at = slotWord(slot), before = plans.bySlot[slot];
    const byteOffset = lane.words[at + SLOT.requestOffset]!, byteLength = lane.words[at + SLOT.requestByteLength]!;
    if (before?.byteOffset === byteOffset && before.source.byteLength === byteLength && isSame(before)) {
      if (before.plan.usable) return before.plan;
    }
    if (before !== undefined) {
      before.plan[Symbol.dispose]();
      plans.bySlot[slot] = undefined;
    }
    const isRoom = byteLength >= 16 && byteLength <= MOST_DESCRIPTION_BYTES && byteOffset % 64 === 0;
    if (!isRoom || byteLength % 4 !== 0 || !lane.contains(byteOffset, byteLength)) {
      throw violation(`a request of ${byteLength} bytes at ${byteOffset}`);
    }
    const source = new Uint32Array(lane.view(byteOffset, byteLength)), copy = source.slice();
    let request;
    try {
      request = readRequest(new Uint8Array(copy.buffer));
    } catch (error) {
      throw error instanceof MalformedDescription ? violation(`a request cannot be read: ${error.message}`) : error;
    }
    const omitted = request.sequence === undefined ? NONE : this.#state, { inPlace, axes } = this.settings;
    const plan = new Plan(this.core, lane, request, { omitted, inPlace, axes });
    plans.bySlot[slot] = { byteOffset, source, copy, plan, isOnce: plan.once };
    return plan;
  }

  /** The streams of a client. */
  sequences(client: number, lane: LaneView): Sequences {
    return this.#plansOf(client, lane).sequences ??= new Sequences(this.core, this.settings.state);
  }

  /** Whether the worker keeps any state of a stream. */
  get hasState(): boolean {
    return this.#state.size > 0;
  }

  /** Memory for so many requests like this one. */
  batch(plan: Plan, count: number): Batch {
    const key = `${count}*${plan.signature}`, found = this.#batches.get(key);
    if (found !== undefined) return found;
    if (this.#batches.size >= MOST_BATCHES) {
      const [oldest, batch] = this.#batches.entries().next().value!;
      batch[Symbol.dispose]();
      this.#batches.delete(oldest);
    }
    const batch = new Batch(this.settings.axes!, plan, count);
    this.#batches.set(key, batch);
    return batch;
  }

  /** Forgets clients that are gone. */
  forget(isGone: (client: number, generation: number) => boolean): void {
    for (const [client, plans] of this.#clients) {
      if (!isGone(client, plans.generation)) continue;
      this.#release(plans);
      this.#clients.delete(client);
    }
  }

  #plansOf(client: number, { generation }: LaneView): ClientPlans {
    const found = this.#clients.get(client);
    if (found?.generation === generation) return found;
    if (found) this.#release(found);
    const plans: ClientPlans = { generation, bySlot: [], sequences: undefined };
    this.#clients.set(client, plans);
    return plans;
  }

  #release({ bySlot, sequences }: ClientPlans): void {
    for (const planned of bySlot) planned?.plan[Symbol.dispose]();
    sequences?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.forget(() => true);
    this.#batches.forEach((batch) => batch[Symbol.dispose]());
    releaseRunOptions(this.#runOptions);
    this.session[Symbol.dispose]();
  }
}

const NONE: ReadonlySet<string> = new Set();

function isSame({ source, copy, isOnce }: Planned): boolean {
  if (isOnce) return false;
  for (let i = 0; i < copy.length; i++) if (source[i] !== copy[i]) return false;
  return true;
}
