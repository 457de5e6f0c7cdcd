import { MOST_CLIENTS, PRIORITIES, SLOTS } from "../../protocol/lane_layout.ts";

/** Models of one worker, and threads that run them, at most. */
export const MOST_MODELS = 64, MOST_EXECUTORS = 16;

/** Queues: one for each model and priority, then one for each executor, of what only that one can do. */
export const QUEUES: number = MOST_MODELS * PRIORITIES.length + MOST_EXECUTORS;
/** Requests that clients can have at once: one for each slot. */
export const ENTRIES: number = MOST_CLIENTS * SLOTS;

/** Positions in the head, in words of 32 bits. A mutex lies in the first sixteen. */
export const HEAD = { control: 16, arrivals: 17, waiting: 18, clientWords: 19, told: 20, asleep: 21 } as const;
const HEAD_WORDS = 32;
/** Words of a client's entry, of a queue, and of an executor's: how many it runs, and which. */
export const CLIENT_WORDS = 8, QUEUE_WORDS = 4, EXECUTOR_HEAD_WORDS = 6;
/** Words of an executor's entry. */
export const EXECUTOR_WORDS: number = EXECUTOR_HEAD_WORDS + 2 * SLOTS;

/** Where the parts lie, in words. */
export const CLIENTS_AT: number = HEAD_WORDS, QUEUES_AT: number = CLIENTS_AT + MOST_CLIENTS * CLIENT_WORDS;
export const EXECUTORS_AT: number = QUEUES_AT + QUEUES * QUEUE_WORDS;
/** By request: the next one of its queue, its sequence, when it came, whether it waits or runs, and its model. */
export const NEXT_AT: number = EXECUTORS_AT + MOST_EXECUTORS * EXECUTOR_WORDS;
export const SEQUENCE_AT: number = NEXT_AT + ENTRIES, ARRIVAL_AT: number = SEQUENCE_AT + ENTRIES;
export const TAKEN_AT: number = ARRIVAL_AT + ENTRIES, MODEL_AT: number = TAKEN_AT + ENTRIES;
/** How many words there are; then come numbers of 64 bits: when each request came, and until when it may wait. */
export const WORDS: number = MODEL_AT + ENTRIES, TIMES_AT: number = Math.ceil(WORDS / 2), TIMES: number = 2 * ENTRIES;

/** Bytes of a worker's board. */
export const BOARD_BYTE_LENGTH: number = (TIMES_AT + TIMES) * 8;
