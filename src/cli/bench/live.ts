import process from "node:process";
// @ts-types="npm:@types/cli-progress@3.11.6"
import cliProgress from "cli-progress";
import type { Load } from "./load.ts";
import type { Seen } from "./source.ts";
import { formatCount, formatMs } from "./units.ts";

const REFRESH_MS = 250;

/** Whether anyone looks. */
export function isWatched(): boolean {
  return process.stderr.isTTY === true;
}

/** A line that follows a load while it is being sent, on stderr, and goes away when disposed; on a terminal only. */
export class LiveLine implements Disposable {
  readonly #bar: cliProgress.SingleBar | undefined;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #begin = performance.now();
  readonly #stop = (): void => this.#bar?.stop();

  constructor(title: string, load: Load, seen: () => Seen) {
    if (!isWatched()) return;
    const { durationMs = Infinity, requests = Infinity } = load;
    const payload = (): Record<string, string> => {
      const { successes, errors, p99 } = seen(), seconds = (performance.now() - this.#begin) / 1000;
      return {
        rate: `${formatCount(successes / seconds)}/s`,
        p99: successes === 0 ? "" : `, p99 ${formatMs(p99)}`,
        errors: errors === 0 ? "" : `, ${formatCount(errors)} errors`,
        seconds: seconds.toFixed(1),
      };
    };
    const done = (): number => {
      const { successes, errors } = seen();
      return Math.max((performance.now() - this.#begin) / durationMs, (successes + errors) / requests);
    };
    this.#bar = new cliProgress.SingleBar({
      barCompleteChar: "━",
      barIncompleteChar: "─",
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      format: `${title} {bar} {seconds} s, {rate}{p99}{errors}`,
    });
    process.once("exit", this.#stop);
    this.#bar.start(1, 0, { rate: "0/s", p99: "", errors: "", seconds: "0.0" });
    this.#timer = setInterval(() => this.#bar!.update(Math.min(1, done()), payload()), REFRESH_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    process.off("exit", this.#stop);
    this.#stop();
  }
}
