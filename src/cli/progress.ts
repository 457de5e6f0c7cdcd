import process from "node:process";
// @ts-types="npm:@types/cli-progress@3.11.6"
import cliProgress from "cli-progress";

const MEGABYTE = 1e6;

/** A bar for bytes that arrive, on stderr; on anything but a terminal it shows nothing. It goes away when disposed. */
export class DownloadBar implements Disposable {
  readonly #bar: cliProgress.SingleBar;
  /** The bar hides the cursor: an exit in the middle must show it again. */
  readonly #stop = () => this.#bar.stop();

  constructor(title: string) {
    this.#bar = new cliProgress.SingleBar({
      format: `${title} {bar} {value}/{total} MB`,
      barCompleteChar: "━",
      barIncompleteChar: "─",
      barsize: 32,
      hideCursor: true,
      clearOnComplete: true,
    });
    this.#bar.start(0, 0);
    process.once("exit", this.#stop);
  }

  /** So many bytes are there, of so many. */
  update(bytes: number, total: number | undefined): void {
    this.#bar.setTotal(Math.ceil((total ?? bytes) / MEGABYTE));
    this.#bar.update(Math.ceil(bytes / MEGABYTE));
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#stop);
    this.#stop();
  }
}
