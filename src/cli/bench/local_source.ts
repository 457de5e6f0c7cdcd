import type { Model } from "../../session/inference_session.ts";
import type { RunSyncOptions } from "../../session/run_options.ts";
import { type FeedOptions, MadeFeeds } from "./feeds.ts";
import { type Load, type Request, send } from "./load.ts";
import { Recording } from "./recording.ts";
import type { Seen, Source } from "./source.ts";
import { openModel, type Target } from "../open_model.ts";

/** What a request is made of, and how it is sent. */
export interface RequestOptions extends FeedOptions {
  /** Whether the calling thread waits. */
  readonly sync: boolean;
}

/** What a recording holds by now. */
export function seenOf(recording: Recording): Seen {
  const { successes, errors } = recording;
  return { successes, errors, p99: successes === 0 ? 0 : recording.percentile(99) };
}

/** Requests from this process. */
export class LocalSource implements Source {
  readonly #model: Model & AsyncDisposable;
  readonly #feeds: MadeFeeds;
  readonly #request: Request;
  #recording = new Recording();
  /** Whether requests may be on their way that nobody waits for. */
  #isAbandoned = false;

  private constructor(model: Model & AsyncDisposable, feeds: MadeFeeds, { storage, sync }: RequestOptions) {
    this.#model = model;
    this.#feeds = feeds;
    const options: RunSyncOptions = { outputStorage: storage };
    const run: Request["run"] = () => model.run(feeds.feeds, options);
    this.#request = sync ? { run, runSync: () => model.runSync(feeds.feeds, options) } : { run };
  }

  /** @throws whatever opening the model throws; {TypeError} as {@linkcode MadeFeeds} */
  static async open(target: Target, options: RequestOptions, signal: AbortSignal): Promise<LocalSource> {
    const model = await openModel(target, signal);
    try {
      return new LocalSource(model, new MadeFeeds(model.inputs, options), options);
    } catch (error) {
      await model[Symbol.asyncDispose]();
      throw error;
    }
  }

  async send(load: Load, signal: AbortSignal): Promise<Recording> {
    const recording = this.#recording = new Recording();
    await send(load, this.#request, recording, signal);
    this.#isAbandoned = signal.aborted;
    return recording;
  }

  get seen(): Seen {
    return seenOf(this.#recording);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#feeds[Symbol.dispose]();
    const closed = this.#model[Symbol.asyncDispose]();
    if (!this.#isAbandoned) await closed;
  }
}
