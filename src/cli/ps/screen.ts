import process from "node:process";
import { clearScreenDown, cursorTo } from "node:readline";

/** Shows texts on stdout, on a terminal each in the place of the one before; it leaves the last one there. */
export class Screen implements Disposable {
  readonly #isTerminal = process.stdout.isTTY === true;
  #isFirst = true;
  readonly #showCursor = (): void => void process.stdout.write("\x1b[?25h");

  show(text: string): void {
    const { stdout } = process, isFirst = this.#isFirst;
    this.#isFirst = false;
    if (!this.#isTerminal) return void stdout.write(isFirst ? `${text}\n` : `\n${text}\n`);
    if (isFirst) {
      process.once("exit", this.#showCursor);
      stdout.write("\x1b[?25l\x1b[2J"); // hides the cursor, and begins on an empty screen
    }
    const rows = stdout.rows || Infinity;
    cursorTo(stdout, 0, 0);
    stdout.write(text.split("\n").slice(0, rows - 1).map((line) => `${line}\x1b[K\n`).join(""));
    clearScreenDown(stdout);
  }

  [Symbol.dispose](): void {
    if (!this.#isTerminal || this.#isFirst) return;
    process.off("exit", this.#showCursor);
    this.#showCursor();
  }
}
