import type { SessionOptions } from "../../ort/session_options.ts";
import type { ErrorMessage } from "../../protocol/remote_error.ts";
import type { BatchAxes } from "../batch_axes.ts";

/** How requests for a model wait, are joined, and which of its outputs are its next inputs. */
export interface ModelSettings {
  readonly maxBatchSize: number;
  readonly maxQueueDelayMs: number;
  readonly maxQueueSize: number;
  readonly queueTimeoutMs: number;
  readonly state: Readonly<Record<string, string>>;
  /** Of the description that clients have, if they have the right one. */
  readonly revision: number;
  /** Whether floats may be read where the client can write. */
  readonly inPlace: boolean;
  /** `undefined` where requests are not joined. */
  readonly axes: BatchAxes | undefined;
}

/** A tensor of a real request, copied. */
export interface ExampleTensor {
  readonly name: string;
  readonly elementType: number;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What an executor is told. Each message but the first comes with a change of the board's control. */
export type ToExecutor =
  | {
    readonly kind: "start";
    readonly index: number;
    readonly executors: number;
    readonly board: bigint;
    readonly page: bigint;
    readonly statistics: bigint;
  }
  /** Which models there are, loaded or not. */
  | { readonly kind: "settings"; readonly model: number; readonly settings: ModelSettings }
  /** Takes requests from here on: all models are loaded, or will not be. */
  | { readonly kind: "open" }
  /** Runs a model from here on, which the process has loaded: instead of the one that it had under this number. */
  | {
    readonly kind: "load";
    readonly model: number;
    readonly epoch: number;
    readonly path: string;
    readonly options: SessionOptions;
    readonly settings: ModelSettings;
  }
  /** A model could not be loaded: who waited for it by then, in ms of the board's clock, is told. */
  | { readonly kind: "refuse"; readonly model: number; readonly before: number; readonly error: ErrorMessage }
  /** Requests of a kind can be joined, or cannot. */
  | {
    readonly kind: "proven";
    readonly model: number;
    readonly epoch: number;
    readonly key: string;
    readonly isJoinable: boolean;
  }
  | { readonly kind: "unload"; readonly model: number; readonly epoch: number }
  | { readonly kind: "stop" };

/** What an executor tells. */
export type FromExecutor =
  /** It listens. */
  | { readonly kind: "awake" }
  | { readonly kind: "started" }
  | { readonly kind: "loaded" | "unloaded"; readonly model: number; readonly epoch: number }
  | {
    readonly kind: "failed";
    readonly model: number;
    readonly epoch: number;
    readonly error: ErrorMessage;
  }
  /** Requests wait for a model that is not loaded. */
  | { readonly kind: "wanted"; readonly model: number }
  /** Requests of a kind came for which joining was not proven yet. */
  | {
    readonly kind: "unproven";
    readonly model: number;
    readonly epoch: number;
    readonly key: string;
    readonly example: readonly ExampleTensor[];
  }
  | { readonly kind: "turned" }
  | { readonly kind: "stopped" };
