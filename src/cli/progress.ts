import process from "node:process";
// @ts-types="npm:@types/cli-progress@3.11.6"
import cliProgress from "cli-progress";

const MEGABYTE = 1e6;

/** A bar for bytes that arrive, on stderr; on anything but a terminal it shows nothing. It goes away when disposed. */
export class DownloadBar implements Disposable {
  readonly #bar: cliProgress.SingleBar;
  /** The bar hides the cursor: an exit in the middle must show it again. */
  readonly #stop = () => this.#bar.stop();
  #shown = false;

  constructor(title: string) {
    this.#bar = new cliProgress.SingleBar({
      format: `${title} {bar} {value}/{total} MB`,
      barCompleteChar: "━",
      barIncompleteChar: "─",
      barsize: 32,
      hideCursor: true,
      clearOnComplete: true,
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
