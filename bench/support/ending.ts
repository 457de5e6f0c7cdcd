/** What a bench leaves behind goes away with it, also when Ctrl-C ends it. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const, EXIT_BY_SIGNAL = 128;
const endings = new Set<() => void>();

function end(): void {
  for (const ending of endings) ending();
  endings.clear();
}

/** Calls `ending` when this process ends, unless what this returns was called before. */
export function atEnd(ending: () => void): () => void {
  if (endings.size === 0) {
    process.once("exit", end);
    process.once("uncaughtException", (error) => {
      console.error(error);
      process.exit(1); // Deno alone would end without the event above
    });
    for (const [name, number] of Object.entries(SIGNALS)) {
      process.once(name as keyof typeof SIGNALS, () => process.exit(EXIT_BY_SIGNAL + number));
    }
  }
  endings.add(ending);
  return () => endings.delete(ending);
}

/** A folder that goes away with its scope, or with the process. */
export class ScratchFolder implements Disposable {
  readonly path: string = realpathSync(mkdtempSync(join(tmpdir(), "coload-bench-")));
  readonly #forget = atEnd(() => this.#remove());

  /** Where something in it is, or would be. */
  join(name: string): string {
    return join(this.path, name);
  }

  #remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.#remove();
    this.#forget();
  }
}
