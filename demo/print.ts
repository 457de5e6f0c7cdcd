/**
 * What the demo shows in a terminal: headings, tables, a progress bar. Colours and the bar only where there is one.
 *
 * @module
 */
import process from "node:process";
// @ts-types="npm:@types/cli-progress@3.11.6"
import cliProgress from "cli-progress";
import picocolors from "picocolors";

const colors = picocolors.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);

/** The heading of a section, with what it is about. */
export function heading(title: string, about = ""): void {
  console.log(`\n${colors.bold(colors.cyan(title))}${about && `  ${colors.dim(about)}`}`);
}

/** A sentence under a heading. */
export function line(text: string): void {
  console.log(`  ${text}`);
}

/** A cell: text to the left, numbers (and text given as `{ right }`) to the right. */
export type Cell = string | { readonly right: string };

/** A table with a head; columns are as wide as their widest cell. */
export function table(head: readonly Cell[], rows: readonly (readonly Cell[])[]): void {
  const textOf = (cell: Cell) => typeof cell === "string" ? cell : cell.right;
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => textOf(row[i]).length)));
  const format = (row: readonly Cell[]) =>
    row.map((cell, i) => typeof cell === "string" ? cell.padEnd(widths[i]) : cell.right.padStart(widths[i]))
      .join("   ").trimEnd();
  line(colors.dim(format(head)));
  for (const row of rows) line(format(row));
}

/** A progress bar that goes away when it is disposed; on anything but a terminal it shows nothing. */
export class Progress implements Disposable {
  readonly #bar: cliProgress.SingleBar;
  /** The bar hides the cursor: an exit in the middle must show it again. */
  readonly #stop = () => this.#bar.stop();

  constructor(title: string, total: number) {
    this.#bar = new cliProgress.SingleBar({
      format: `  ${title} {bar} {value}/{total}  {step}`,
      barCompleteChar: "━",
      barIncompleteChar: "─",
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
    });
    this.#bar.start(total, 0, { step: "" });
    process.once("exit", this.#stop);
  }

  /** One more is done. */
  step(what: string): void {
    this.#bar.increment(1, { step: what });
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#stop);
    this.#stop();
  }
}

/** Bytes as MB (10^6), to one decimal. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Milliseconds, to one decimal. */
export function milliseconds(ms: number): string {
  return `${ms.toFixed(1)} ms`;
}
