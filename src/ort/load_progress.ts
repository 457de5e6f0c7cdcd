/** What is done and how far it is, for a progress bar. */
export interface LoadProgress {
  /**
   * `find`: onnxruntime and the model's file; `read`: bytes into native memory; `create`: onnxruntime's own work;
   * `ready`: all of it is done. Where weights are shared, between the first two: `digest`: the files are looked at for
   * what is in them; `wait`: another process prepares the same copy; `reference`: the model runs as it is; `convert`:
   * it is rewritten; `pack`: its weights are laid out for computing; `verify`: the copy is loaded, run and compared.
   */
  readonly phase:
    | "find"
    | "digest"
    | "wait"
    | "reference"
    | "convert"
    | "pack"
    | "verify"
    | "read"
    | "create"
    | "ready";
  /** Bytes of the model, its external data included, where known. */
  readonly totalBytes: number;
  /** Bytes that `digest` or `verify` has read, or that `convert` or `pack` has written. */
  readonly doneBytes?: number;
  /** Milliseconds since the load began. */
  readonly elapsedMs: number;
}

/** How often a long load says that it goes on. */
const PROGRESS_MS = 100;

/** Reports a load's phases, and that it goes on. */
export class ProgressReport implements Disposable {
  #report: ((progress: LoadProgress) => void) | undefined;
  readonly #start = performance.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #phase: LoadProgress["phase"] = "find";
  #doneBytes: (() => number) | undefined;
  /** Bytes of the model, once known. */
  totalBytes = 0;

  constructor(report: ((progress: LoadProgress) => void) | undefined) {
    this.#report = report;
    if (report) this.#timer = setInterval(() => this.#tell(), PROGRESS_MS);
  }

  /** @param doneBytes tells how many bytes the phase has written or read */
  phase(phase: LoadProgress["phase"], doneBytes?: () => number): void {
    this.#phase = phase;
    this.#doneBytes = doneBytes;
    this.#tell();
  }

  #tell(): void {
    const elapsedMs = performance.now() - this.#start;
    try {
      const doneBytes = this.#doneBytes?.();
      this.#report?.({
        phase: this.#phase,
        totalBytes: this.totalBytes,
        elapsedMs,
        ...(doneBytes !== undefined && { doneBytes }),
      });
    } catch (error) { // is its own, as in a listener of an event: the load goes on
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#report = undefined; // work that goes on after an abort has nobody to tell
  }
}
