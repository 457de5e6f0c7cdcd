/** A Worker that uses the process's registry as it is told: see children/worker.ts for what it can do. */
export class RegistryWorker {
  readonly #worker = new Worker(new URL("./children/worker.ts", import.meta.url), { type: "module" });
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #phases = new Map<string, PromiseWithResolvers<void>>();
  #count = 0;

  constructor() {
    this.#worker.onmessage = ({ data: [id, result, error] }: { data: [number | "phase", unknown, unknown] }) => {
      if (id === "phase") return this.#phase(result as string).resolve();
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error) asked?.reject(error);
      else asked?.resolve(result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      if (event.message.includes("on purpose")) return;
      const error = new Error(`a Worker failed: ${event.message}`);
      for (const { reject } of [...this.#asked.values(), this.#phase("up")]) reject(error);
    };
  }

  #phase(name: string): PromiseWithResolvers<void> {
    if (!this.#phases.has(name)) this.#phases.set(name, Promise.withResolvers());
    return this.#phases.get(name)!;
  }

  /** Resolves when a load that was begun has come so far, or the Worker is `up`. */
  async reached(phase: string): Promise<void> {
    await this.#phase(phase).promise;
  }

  /** Has it do something, and resolves with what that returns. */
  ask<T = unknown>(action: string, ...args: unknown[]): Promise<T> {
    const asked = Promise.withResolvers<unknown>(), id = this.#count++;
    this.#asked.set(id, asked);
    this.#post([id, action, ...args]);
    return asked.promise as Promise<T>;
  }

  /** Has it do something and does not wait for an answer. */
  tell(action: string, ...args: unknown[]): void {
    this.#post([this.#count++, action, ...args]);
  }

  /** Posts once the Worker listens: Bun loses some messages that come earlier. */
  #post(message: unknown[]): void {
    this.reached("up").then(() => this.#worker.postMessage(message), () => {}); // whoever asked is told
  }

  /** Ends it, whatever it does. */
  terminate(): void {
    this.#worker.terminate();
  }

  [Symbol.dispose](): void {
    this.terminate();
  }
}
