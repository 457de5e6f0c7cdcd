import { basename } from "node:path";
import process from "node:process";
// @ts-types="npm:@types/cli-progress@3.11.6"
import cliProgress from "cli-progress";
import type { LoadProgress } from "../ort/load_progress.ts";

const MEGABYTE = 1e6;

const LOOKS = {
  barCompleteChar: "━",
  barIncompleteChar: "─",
  barsize: 32,
  hideCursor: true,
  clearOnComplete: true,
} as const;

/** A bar for bytes that arrive, on stderr; on anything but a terminal it shows nothing. It goes away when disposed. */
export class DownloadBar implements Disposable {
  readonly #bar: cliProgress.SingleBar;
  /** The bar hides the cursor: an exit in the middle must show it again. */
  readonly #stop = () => this.#bar.stop();
  #shown = false;

  constructor(title: string) {
    this.#bar = new cliProgress.SingleBar({
      ...LOOKS,
      format: `${title} {bar} {value}/{total} MB`,
    });
  }

  /** So many bytes are there, of so many. */
  update(bytes: number, total: number | undefined): void {
    const megabytes = Math.ceil(bytes / MEGABYTE), of = Math.ceil((total ?? bytes) / MEGABYTE);
    if (this.#shown) {
      this.#bar.setTotal(of);
      this.#bar.update(megabytes);
    } else {
      this.#shown = true;
      process.once("exit", this.#stop);
      this.#bar.start(of, megabytes);
    }
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#stop);
    this.#stop();
  }
}

/** What the phases of a load are called. */
const PHASES: Readonly<Record<LoadProgress["phase"], string>> = {
  find: "finding",
  digest: "reading",
  wait: "waiting for another process that prepares it",
  reference: "running the model as it is",
  convert: "converting",
  pack: "packing",
  verify: "verifying",
  read: "reading",
  create: "loading",
  ready: "ready",
};

/** A bar for the phases of a long load, on stderr; on anything but a terminal a line for each phase. It goes away when disposed. */
export class PhaseBar implements Disposable {
  readonly #title: string;
  readonly #bar: cliProgress.SingleBar;
  readonly #stop = () => this.#bar.stop();
  #phase: LoadProgress["phase"] | undefined;

  constructor(title: string) {
    this.#title = title;
    this.#bar = new cliProgress.SingleBar({ ...LOOKS, format: `${basename(title)} {bar} {phase}{bytes}, {seconds} s` });
  }

  /** A phase goes on. */
  update({ phase, doneBytes, totalBytes, elapsedMs }: LoadProgress): void {
    const seconds = (elapsedMs / 1000).toFixed(1), isNew = phase !== this.#phase;
    if (process.stderr.isTTY !== true) {
      if (isNew) console.error(`${this.#title}: ${PHASES[phase]} (${seconds} s)`);
    } else {
      const bytes = doneBytes === undefined ? "" : ` ${Math.round(doneBytes / MEGABYTE)} MB`;
      const payload = { phase: PHASES[phase], bytes, seconds }, total = Math.max(totalBytes, doneBytes ?? 0, 1);
      if (this.#phase === undefined) {
        process.once("exit", this.#stop);
        this.#bar.start(total, 0, payload);
      }
      this.#bar.setTotal(total);
      this.#bar.update(doneBytes ?? 0, payload);
    }
    this.#phase = phase;
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#stop);
    this.#stop();
  }
}
