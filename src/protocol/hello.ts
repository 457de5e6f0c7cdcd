import process from "node:process";
import { ffi } from "../../ffi/mod.ts";
import { WorkerError } from "../errors.ts";
import { violation } from "./frames.ts";
import { PROTOCOL_VERSION } from "./lane_layout.ts";

/** How long either end waits for the other's first words, in ms. */
export const HELLO_MS = 5000;

/** The first words of a client. */
export interface Hello {
  /** Versions of the protocol that it speaks, from `oldest` on. */
  readonly protocol: number;
  readonly oldest: number;
  /** Whether it can map memory that is passed to it. */
  readonly sharesMemory: boolean;
  readonly pid: number;
  readonly runtime: string;
  /** What it calls itself. */
  readonly name: string;
}

/** The first words of a worker. With a lane come three descriptors: the worker's page, the lane, the doorbell socket. */
export interface Welcome {
  readonly protocol: number;
  readonly pid: number;
  readonly runtime: string;
  readonly version: string;
  /** Which of the worker's clients this one is. */
  readonly client: number;
  readonly hasLane: boolean;
}

/** This process's first words as a client. */
export function makeHello(sharesMemory: boolean, name: string): Hello {
  const protocol = PROTOCOL_VERSION, { pid } = process, { runtime } = ffi;
  return { protocol, oldest: protocol, sharesMemory, pid, runtime, name };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const MOST_TEXT = 200;
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= MOST_TEXT;

/** Takes a client's first words. @throws {WorkerError} WORKER_PROTOCOL for another version, or what is no hello */
export function checkHello(found: Record<string, unknown>): Hello {
  const { protocol, oldest, sharesMemory, pid, runtime, name } = found;
  if (!isCount(protocol) || !isCount(oldest)) throw violation("a hello without versions");
  if (protocol < PROTOCOL_VERSION || oldest > PROTOCOL_VERSION) throw otherVersion("client", oldest, protocol);
  if (!isCount(pid) || !isText(runtime) || !isText(name) || typeof sharesMemory !== "boolean") {
    throw violation("a hello that does not say who greets");
  }
  return { protocol, oldest, sharesMemory, pid, runtime, name };
}

/** Takes a worker's first words. @throws {WorkerError} WORKER_PROTOCOL */
export function checkWelcome(found: Record<string, unknown>): Welcome {
  const { protocol, pid, runtime, version, client, hasLane } = found;
  if (!isCount(protocol)) throw violation("a welcome without a version");
  if (protocol !== PROTOCOL_VERSION) throw otherVersion("worker", protocol, protocol);
  if (!isCount(pid) || !isText(runtime) || !isText(version) || !isCount(client) || typeof hasLane !== "boolean") {
    throw violation("a welcome that does not say who greets");
  }
  return { protocol, pid, runtime, version, client, hasLane };
}

function otherVersion(who: string, oldest: number, newest: number): WorkerError {
  const versions = oldest === newest ? `version ${newest}` : `versions ${oldest} to ${newest}`;
  const message = `The ${who} speaks ${versions} of the protocol, and version ${PROTOCOL_VERSION} is wanted`;
  return new WorkerError("WORKER_PROTOCOL", message);
}
