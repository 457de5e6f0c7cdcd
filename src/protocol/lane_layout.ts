/**
 * Where what lies in the memory that a worker shares with its clients: the page of the worker, which all of them see,
 * and the lane of each, which they do not share. `FAST-LANE.md` beside this file specifies it; all numbers are
 * little-endian, and each line of 64 bytes is written by one side.
 *
 * @module
 */

/** The version of the protocol: of the frames on the socket and of the memory. */
export const PROTOCOL_VERSION = 1;
/** Clients of one worker, at most. */
export const MOST_CLIENTS = 256;
/** Requests that one client has in flight, at most; more wait at the client. */
export const SLOTS = 128;
/** Bytes of a lane: pages cost nothing until they are touched. */
export const LANE_BYTE_LENGTH: number = 256 << 20;
/** Bytes of the worker's page. */
export const PAGE_BYTE_LENGTH = 4096;

/** Positions in the worker's page, in words of 32 bits. */
export const PAGE = {
  /** Changes whenever a client rings; who sleeps waits for it. */
  doorbell: 0,
  /** Executors that sleep, or are about to. */
  asleep: 16,
  /** 1 while an executor looks for requests: then nobody has to be woken. */
  looking: 17,
  /** The core of the executor that was the last to look. */
  cpu: 18,
  /** A bit for each client that has requests which nobody took yet. */
  attention: 32,
  /** 1 more than the core of the worker's own thread, where a request is from there: nobody looks for the next one on it. */
  near: 48,
} as const;

/** Positions in a lane, in words of 32 bits. */
export const LANE = {
  /** "CLLN", the version, how many slots there are, where the heap starts. */
  magic: 0,
  version: 1,
  slots: 2,
  heapOffset: 3,
  /** Worker: 1 when it takes no more requests. What was handed over by then, it answers. */
  draining: 4,
  /** Client: a bit for each slot with a request that nobody took yet. */
  pending: 16,
  /** Client: 1 while it waits in `futex` for an answer. */
  waiting: 32,
  /** 1 while a byte is on its way through the doorbell socket. */
  bell: 48,
} as const;

export const LANE_MAGIC = 0x4e4c4c43;
/** Where the slots lie, and how far apart, in bytes. */
export const SLOTS_OFFSET = 4096, SLOT_BYTE_LENGTH = 128;
/** Where the heap starts, in bytes. */
export const HEAP_OFFSET: number = SLOTS_OFFSET + SLOTS * SLOT_BYTE_LENGTH;

/** Positions in a slot, in words of 32 bits: the client's line, then the worker's. */
export const SLOT = {
  /** Counts the requests of this slot, from 1 on. */
  sequence: 0,
  model: 1,
  /** Of {@linkcode FLAG}. */
  flags: 2,
  /** 0 first, 1 as usual, 2 last. */
  priority: 3,
  /** Where the request's description lies, in bytes. */
  requestOffset: 4,
  requestByteLength: 5,
  /** Where the answer's description goes, in bytes. */
  answerOffset: 6,
  answerCapacity: 7,
  /** Of what one executor alone can do: which one, by a number that is taken modulo theirs. */
  executor: 8,
  /** The sequence of a request that its client gave up. */
  cancelled: 9,
  /** For how long it may wait in the queue, in ms; 0 for ever. */
  queueMs: 10,
  /** Changes when the room for the answer's description does, or what lies there. */
  layout: 11,
  /** Of the model's description, by which the request was made. */
  revision: 12,
  /** Counts the requests of the lane: those that are found at once are taken in this order. */
  order: 13,
  /** Equals `sequence` when the request is answered: written last. */
  answered: 16,
  /** Of {@linkcode ANSWER}. */
  status: 17,
  answerByteLength: 18,
  /** Changes when the answer's bytes do. */
  answerRevision: 19,
  /** Which executor ran it. */
  ranBy: 20,
  /** Microseconds in the queue and in C, and how many requests ran as one. */
  queueMicros: 21,
  runMicros: 22,
  batchSize: 23,
} as const;

/** Bits of a slot's flags. */
export const FLAG = {
  /** The client's event loop waits: ring the doorbell socket. */
  bell: 1,
  /** Not a run: collect the results that an answer said found no room. */
  collect: 2,
  /** For the executor that the slot names alone: what it keeps is needed. */
  own: 4,
} as const;

/** What became of a request. */
export const ANSWER = {
  /** The answer describes the outputs. */
  done: 0,
  /** The answer is a text of JSON: `code`, `message`. */
  failed: 1,
  /** The answer describes outputs that found no room: the executor keeps them until they are collected. */
  kept: 2,
} as const;

/** Which requests of a model overtake others: `high` goes before `normal`, and that before `low`. */
export type Priority = "high" | "normal" | "low";
/** The first goes first. */
export const PRIORITIES: readonly Priority[] = ["high", "normal", "low"];

/** 32-bit words from the start of the lane to a slot. */
export function slotWord(slot: number): number {
  return (SLOTS_OFFSET + slot * SLOT_BYTE_LENGTH) / 4;
}

/** Writes what a new lane begins with. */
export function initLane(buffer: ArrayBuffer): void {
  const words = new Uint32Array(buffer, 0, 16);
  words[LANE.version] = PROTOCOL_VERSION;
  words[LANE.slots] = SLOTS;
  words[LANE.heapOffset] = HEAP_OFFSET;
  words[LANE.magic] = LANE_MAGIC;
}
