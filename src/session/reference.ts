/**
 * One counted use of a session. It is given back once, when it was disposed of and its last run is over; so it is kept
 * apart from the object that the user holds, which the garbage collector may take first.
 */
export class Reference {
  /** What is used, as messages name it. */
  readonly what: string;
  readonly #giveBack: () => void | Promise<void>;
  #running = 0;
  #ties = 0;
  #disposed = false;
  #done: Promise<void> | undefined;
  #waiter: PromiseWithResolvers<void> | undefined;

  /** @param giveBack what to do once nobody uses this any more */
  constructor(what: string, giveBack: () => void | Promise<void>) {
    this.what = what;
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
    if (--this.#running === 0) this.#settle();
  }

  /** Begins a run that ends when the result is disposed of; `undefined` when the use was given up. */
  hold(): Disposable | undefined {
    if (this.#disposed) return undefined;
    this.begin();
    return { [Symbol.dispose]: () => this.end() };
  }

  /** Notes that something goes on needing what is used, such as a binding: nobody waits for its end. */
  tie(): void {
    this.#ties++;
  }

  /** Notes that something needs it no longer. */
  untie(): void {
    this.#ties--;
    this.#settle();
  }

  /** Gives the use up, now or when its runs are over. Harmless when repeated. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#settle();
  }

  /** Gives the use up, and resolves when its runs are over and, unless something is tied to it, that has taken effect. */
  disposeAsync(): Promise<void> {
    this.dispose();
    if (this.#running === 0) return Promise.resolve(this.#done);
    this.#waiter ??= Promise.withResolvers();
    return this.#waiter.promise;
  }

  /** Gives up a use whose object the garbage collector took without a dispose, and tells so, once. */
  dropped(): void {
    if (this.#disposed) return;
    console.warn(
      `coload: ${this.what} was garbage-collected without dispose; declare it with "using", or dispose of it`,
    );
    this.dispose();
  }

  #settle(): void {
    if (!this.#disposed || this.#running > 0) return;
    if (this.#ties === 0) this.#done = this.#giveBack() ?? undefined;
    this.#waiter?.resolve(this.#done);
  }
}
