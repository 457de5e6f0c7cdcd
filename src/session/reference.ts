/**
 * One counted use of a session. It is given back once, when it was disposed of and its last run is over; so it is kept
 * apart from the object that the user holds, which the garbage collector may take first.
 */
export class Reference {
  readonly #giveBack: () => void | Promise<void>;
  #running = 0;
  #disposed = false;
  #done: Promise<void> | undefined;
  #waiter: PromiseWithResolvers<void> | undefined;

  /** @param giveBack what to do once nobody uses this any more */
  constructor(giveBack: () => void | Promise<void>) {
    this.#giveBack = giveBack;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Notes that a run began. */
  begin(): void {
    this.#running++;
  }

  /** Notes that a run is over. */
  end(): void {
    if (--this.#running === 0 && this.#disposed) this.#release();
  }

  /** Gives the use up, now or when its runs are over. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#running === 0) this.#release();
  }

  /** Gives the use up, and resolves once that has taken effect. */
  disposeAsync(): Promise<void> {
    this.dispose();
    if (this.#running === 0) return Promise.resolve(this.#done);
    this.#waiter ??= Promise.withResolvers();
    return this.#waiter.promise;
  }

  #release(): void {
    this.#done = this.#giveBack() ?? undefined;
    this.#waiter?.resolve(this.#done);
  }
}
