import type { SessionOptions } from "../../../mod.ts";
import type { SharingMode } from "../../../src/weights/key.ts";

/** What a child is asked for. */
export type Step =
  | { readonly do: "load"; readonly model: string; readonly options?: SessionOptions }
  | {
    readonly do: "prepare";
    readonly model: string;
    readonly mode?: SharingMode;
    readonly force?: boolean;
    readonly options?: { readonly extra?: Record<string, string> };
  }
  | { readonly do: "remove"; readonly key: string }
  | { readonly do: "list" | "files" | "library" | "processor" };

/** A child's command line. */
export interface Request {
  /** Without one, the user's. */
  readonly cacheDir?: string;
  readonly library?: string;
  readonly steps: readonly Step[];
}

/** What came of a step; each has some of this. */
export interface Answer {
  readonly error?: { readonly name: string; readonly code: string; readonly message: string };
  /** Of a loaded session. */
  readonly mode?: string;
  readonly reason?: string;
  /** Bytes that were read to load it. */
  readonly read?: number;
  /** The digest of what it computed. */
  readonly result?: string;
  /** Of a copy. */
  readonly made?: boolean;
  readonly key?: string;
  readonly refused?: string;
  readonly entries?: readonly { readonly key: string; readonly state: string; readonly why: string }[];
  readonly files?: readonly string[];
  readonly library?: string;
  readonly features?: readonly string[];
}
