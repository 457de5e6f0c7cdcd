import type { IncomingHttpHeaders } from "node:http";
import { joinParts } from "../../protocol/oip/body.ts";

/** A request over HTTP, as handlers see it. */
export interface Call {
  /** What the path says: of which model, which version, which region. */
  readonly params: Readonly<Record<string, string | undefined>>;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
  /** The body, unpacked. @throws {OipError} for one that is too large, broken, or packed in an unknown way */
  body(): Promise<Uint8Array<ArrayBuffer>>;
  /** Notes that it takes so many more bytes until it is answered. @throws {OipError} 503 where there are no more */
  hold(bytes: number): void;
  /** Notes the same of its answer, which is made: others are refused for it, and not this request, which ran. */
  holdAnswer(bytes: number): void;
  /** Whether it comes from a process of this machine and user. */
  isOfThisUser(): boolean;
}

/** What is answered. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The body, in pieces. */
  readonly parts: readonly Uint8Array[];
}

/** Answers a request. Errors that it throws are answered by their status. */
export type Handler = (call: Call) => Reply | Promise<Reply>;

const encoder = new TextEncoder();
const NOTHING: Reply = { status: 200, headers: {}, parts: [] };

/** Success, and no more to say. */
export function nothing(): Reply {
  return NOTHING;
}

/** An answer in JSON. */
export function json(found: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Reply {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    parts: [encoder.encode(JSON.stringify(found))],
  };
}

/** Pieces in one: a single one is borrowed. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return parts.length === 1 ? parts[0] as Uint8Array<ArrayBuffer> : joinParts(parts);
}
