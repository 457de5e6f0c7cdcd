import { mkdirSync, rmdirSync } from "node:fs";
import { lstat, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import process from "node:process";

const PREFIX = ".partial-";
const STALE_MS = 86_400_000;

/** A folder for work in progress inside one that is the user's alone; disposing it removes all that is left empty. */
export class WorkFolder implements AsyncDisposable {
  readonly path: string;
  readonly #root: string;
  readonly #created: string | undefined;

  private constructor(work: string, root: string, created: string | undefined) {
    this.path = work;
    this.#root = root;
    this.#created = created;
  }

  /**
   * Makes one in `root`, which is made too, and removes there what processes that were killed left behind.
   *
   * @throws {Error} when others can write to `root`.
   */
  static async make(root: string): Promise<WorkFolder> {
    const created = mkdirSync(root, { recursive: true, mode: 0o700 });
    await checkOwner(root);
    await sweep(root);
    const work = await mkdtemp(path.join(root, PREFIX)).catch((error) => {
      if (error.code === "ENOENT") return undefined; // another install that failed took the empty root with it
      throw error;
    });
    return work === undefined ? await WorkFolder.make(root) : new WorkFolder(work, root, created);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    if (this.#created === undefined) return;
    try {
      for (let at = this.#root; at.startsWith(this.#created); at = path.dirname(at)) rmdirSync(at);
    } catch {
      // not empty: something was installed, or somebody else is at work
    }
  }
}

async function checkOwner(root: string): Promise<void> {
  const { uid, mode } = await lstat(root);
  const user = process.getuid?.();
  if (user !== undefined && (uid !== user || (mode & 0o022) !== 0)) {
    throw new Error(`others can write to ${root}, and what lies there is run`);
  }
}

async function sweep(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(PREFIX)) continue;
    const left = path.join(root, name);
    const age = await stat(left).then(({ mtimeMs }) => Date.now() - mtimeMs, () => 0);
    if (age > STALE_MS) await rm(left, { recursive: true, force: true });
  }
}
