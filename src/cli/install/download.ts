import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/** What a download is checked against, and who hears of it. */
export interface DownloadOptions {
  /** SHA-512 in base64. */
  readonly sha512: string;
  readonly signal: AbortSignal;
  /** Hears of the bytes that are there, and of how many there will be where the server says so. */
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined;
}

/** How long a server may be silent. */
const PATIENCE_MS = 60_000;

/**
 * Fetches a file and checks its digest.
 *
 * @throws {Error} when the server refuses or falls silent, the disk is full, or the digest is another.
 */
export async function download(url: URL, file: string, options: DownloadOptions): Promise<void> {
  using silence = new Silence();
  await using handle = await open(file, "wx", 0o600);
  const hash = createHash("sha512");
  let bytes = 0;
  try {
    const response = await fetch(url, { signal: AbortSignal.any([options.signal, silence.signal]) });
    if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`);
    const total = Number(response.headers.get("content-length")) || undefined;
    for await (const chunk of response.body) {
      silence.broken();
      hash.update(chunk);
      await handle.writeFile(chunk);
      options.onProgress?.(bytes += chunk.byteLength, total);
    }
  } catch (error) {
    const cause: Error = silence.signal.aborted ? silence.signal.reason : error;
    if ((cause as NodeJS.ErrnoException).code === "ENOSPC") throw cause;
    throw new Error(`fetching ${url.host}${url.pathname} failed: ${reasonOf(cause)}`, { cause });
  }
  const found = hash.digest("base64");
  if (found !== options.sha512) {
    const what = `${url.host}${url.pathname}`;
    throw new Error(`the digest of ${what} should be sha512-${options.sha512}, and is sha512-${found}`);
  }
}

function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

/** Aborts its signal when nothing breaks the silence for a while. */
class Silence implements Disposable {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.broken();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  broken(): void {
    clearTimeout(this.#timer);
    const reason = new Error(`the server was silent for ${PATIENCE_MS / 1000} seconds`);
    this.#timer = setTimeout(() => this.#controller.abort(reason), PATIENCE_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
