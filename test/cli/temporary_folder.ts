import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** A folder that goes away with its scope. */
export class TemporaryFolder implements Disposable {
  readonly path: string = realpathSync(mkdtempSync(path.join(tmpdir(), "coload-test-")));

  /** Where something in it is, or would be. */
  join(...parts: string[]): string {
    return path.join(this.path, ...parts);
  }

  /** Writes a file, with the folders above it, and returns its path. */
  write(name: string, content = ""): string {
    const file = this.join(name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
    return file;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
