// A client that writes what it should not into its lane: see ../hostile_lane_test.ts.
import process from "node:process";
import type { RequestDescription, TensorDescription } from "../../../src/protocol/description.ts";
import { PLACE } from "../../../src/protocol/description.ts";
import {
  ANSWER,
  FLAG,
  LANE,
  LANE_BYTE_LENGTH,
  MOST_CLIENTS,
  PAGE,
  SLOT,
  slotWord,
} from "../../../src/protocol/lane_layout.ts";
import { randomFrom } from "../../memory/support.ts";
import type { ModelName } from "./models.ts";
import { type Answer, describe, RawClient, requestOf, type SlotWords } from "./raw_client.ts";
import { goodRequest, tensorsOf } from "./requests.ts";

const [socket, what, seed, count] = process.argv.slice(2) as [string, keyof typeof ATTACKS, string, string];
const random = randomFrom(Number(seed)), rounds = Number(count);
/** Numbers that are wrong somewhere. */
const ODD = [0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 4095, 4096, 1 << 20, LANE_BYTE_LENGTH - 64, LANE_BYTE_LENGTH];
const LARGE = [
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 64,
  2 ** 40,
  2 ** 52 + 1,
  2 ** 53 - 64,
  2 ** 53 - 1,
];
const CHANCES = [...ODD, ...LARGE];
const one = <T>(of: readonly T[]): T => of[random(of.length)]!;
const odd = (): number => random(3) === 0 ? random(2 ** 32) : one(CHANCES);

/** The models, in the order in which the worker has them. */
const MODELS: readonly ModelName[] = ["add", "gather", "casts", "largest", "strings", "sum"];
/** Slots of good requests, which nothing else uses. */
const HONEST = 100;
const tally: Record<string, number> = {};

function count1(name: string): void {
  tally[name] = (tally[name] ?? 0) + 1;
}

function noteAnswer({ status, code }: Answer): void {
  count1(status === ANSWER.failed ? code! : status === ANSWER.kept ? "KEPT" : "DONE");
}

/** Runs a good request of a model. @throws unless its answer is right */
function checkGood(client: RawClient, model: number): void {
  const slot = HONEST + model, { request, fill, isRight } = goodRequest(MODELS[model]!, slot);
  fill(client);
  const { status, code } = client.run(slot, request, { model, flags: model === 5 ? FLAG.own : 0 });
  if (status !== ANSWER.done || !isRight(client)) throw new Error(`A good request was answered wrongly: ${code}`);
}

function changeTensor(tensor: TensorDescription): TensorDescription {
  const changes: readonly (() => Partial<TensorDescription>)[] = [
    () => ({ port: random(2 ** 16) }),
    () => ({ port: random(3) }),
    () => ({ elementType: random(20) }),
    () => ({ place: one([0, 1, 2, 3, 4, 2 ** 31]) }),
    () => ({ byteOffset: odd() }),
    () => ({ byteOffset: tensor.byteOffset + one([-64, -1, 1, 4, 64]) }),
    () => ({ byteLength: odd() }),
    () => ({ byteLength: Math.max(0, tensor.byteLength + one([-4, -1, 1, 4, 64])) }),
    () => ({ shape: tensor.shape.map(() => odd()) }),
    () => ({ shape: Array.from({ length: random(65) }, () => one([0, 1, 1, 2, 2 ** 32, 2 ** 53 - 1])) }),
    () => ({ region: "x".repeat(random(96)), generation: odd(), place: PLACE.region }),
    () => ({ region: `coload-${"0".repeat(32)}`, generation: odd(), place: PLACE.region }),
  ];
  return { ...tensor, ...one(changes)() };
}

function changeRequest(request: RequestDescription): RequestDescription {
  const inputs = [...request.inputs], outputs = [...request.outputs], tensors = one([inputs, outputs]);
  const kind = random(8);
  if (kind === 0) tensors.push(one(tensors)); // the same port twice
  else if (kind === 1) tensors.pop();
  else if (kind === 2) tensors.length = 0;
  else if (kind === 3) outputs.push(...inputs);
  else if (tensors.length > 0) tensors[random(tensors.length)] = changeTensor(one(tensors));
  const isSequence = random(8) === 0;
  const sequence = { id: odd(), start: random(2) === 0, end: random(2) === 0 };
  return { inputs, outputs, sequence: isSequence ? sequence : request.sequence };
}

/** The bytes of a request in which something is wrong. */
function changedRequest(request: RequestDescription): Uint8Array {
  if (random(2) === 0) return describe(changeRequest(request));
  const bytes = describe(request);
  for (let i = random(4); i >= 0; i--) bytes[random(bytes.length)] = random(2) === 0 ? random(256) : one([0, 1, 255]);
  return random(4) === 0 ? bytes.slice(0, random(bytes.length)) : bytes;
}

const CLIENT_WORDS = [
  "model",
  "flags",
  "priority",
  "requestOffset",
  "requestByteLength",
  "answerOffset",
  "answerCapacity",
  "executor",
  "cancelled",
  "queueMs",
  "revision",
] as const;
/** Those without which an answer can still be read. */
const SUBTLE_WORDS = ["model", "flags", "priority", "executor", "queueMs", "revision"] as const;

function changedWords(model: number): SlotWords {
  const words: { -readonly [K in keyof SlotWords]: SlotWords[K] } = { model };
  if (random(3) > 0) return words;
  for (let i = random(3); i >= 0; i--) words[one(CLIENT_WORDS)] = odd();
  return words;
}

const ATTACKS = {
  /** Requests in which something is wrong, one after another, and good ones between them. */
  requests(client: RawClient): void {
    for (let i = 0; i < rounds; i++) {
      const model = random(MODELS.length), slot = random(HONEST), good = goodRequest(MODELS[model]!, slot);
      good.fill(client);
      noteAnswer(client.run(slot, changedRequest(good.request), changedWords(model)));
      if (i % 10 === 0) checkGood(client, i / 10 % MODELS.length);
    }
  },

  /** Anything anywhere before the heap, and again and again all slots at once. */
  words(client: RawClient): void {
    for (let i = 0; i < rounds; i++) {
      const start = random(client.words.length), length = random(64);
      for (let at = start; at < start + length; at++) client.words[at] = odd();
      for (let word = 0; word < 4; word++) Atomics.store(client.words, LANE.pending + word, random(2 ** 32));
      client.ring();
    }
    client.words.fill(0, LANE.pending, LANE.pending + 4);
    count1("WRITTEN");
  },

  /** What the worker and its clients tell each other on the page that all of them see. */
  page(client: RawClient): void {
    const PARTS = [PAGE.doorbell, PAGE.asleep, PAGE.looking, PAGE.cpu];
    for (const end = performance.now() + rounds; performance.now() < end;) {
      for (let word = 0; word < MOST_CLIENTS / 32; word++) client.page[PAGE.attention + word] = random(2 ** 32);
      client.page[one(PARTS)] = one([odd(), -1, 0, 1]);
    }
    for (const word of PARTS) client.page[word] = 0;
    count1("WRITTEN");
  },

  /** That the worker takes no more requests, which is a lie. */
  draining(client: RawClient): void {
    for (const end = performance.now() + rounds; performance.now() < end;) client.words[LANE.draining] = 1;
    client.words[LANE.draining] = 0;
    count1("WRITTEN");
  },

  /** All words of requests that wait or run, their descriptions and their indices change all the time. */
  changing(client: RawClient): void {
    const slots = Array.from({ length: 16 }, (_, slot) => slot);
    const end = performance.now() + rounds;
    while (performance.now() < end) {
      const names = random(4) === 0 ? CLIENT_WORDS : SUBTLE_WORDS;
      const sent = slots.map((slot) => {
        const model = random(MODELS.length), good = goodRequest(MODELS[model]!, slot);
        good.fill(client);
        client.write(slot, good.request, {
          model,
          flags: one([0, FLAG.own, FLAG.own | FLAG.collect]),
          executor: random(4),
        });
        return client.submit(slot);
      });
      const change = (): void => {
        for (let i = 0; i < 50; i++) {
          const slot = one(slots), at = slotWord(slot), words = client.view(0);
          if (i % 10 === 0) words.setUint32((at + SLOT[one(names)]) * 4, one([odd(), random(8)]), true);
          if (i % 25 === 0) words.setUint8(requestOf(slot) + random(200), random(256));
          words.setBigInt64(
            tensorsOf(slot) + 8 * random(40),
            BigInt(one([-1, 0, 2 ** 40, -(2 ** 40), random(64)])),
            true,
          );
        }
      };
      for (const slot of slots) noteAnswer(client.wait(slot, sent[slot]!, change));
    }
  },

  /** Indices change while `gather` runs. */
  indices(client: RawClient): void {
    const slots = Array.from({ length: 8 }, (_, slot) => slot), end = performance.now() + rounds;
    const goods = slots.map((slot) => goodRequest("gather", slot));
    const indices = slots.map((slot) => new BigInt64Array(client.lane.buffer, tensorsOf(slot), 40));
    const change = (): void => {
      for (let i = 0; i < 40; i++) indices[random(8)]![i] = BigInt(one([0, 63, -64, 64, -(2 ** 31), 2 ** 33, 2 ** 52]));
    };
    while (performance.now() < end) {
      const sent = slots.map((slot) => {
        goods[slot]!.fill(client);
        client.write(slot, goods[slot]!.request, { model: 1 });
        return client.submit(slot);
      });
      for (const slot of slots) noteAnswer(client.wait(slot, sent[slot]!, change));
    }
  },

  /** Numbers change while `largest` sorts them. */
  sorting(client: RawClient): void {
    const good = goodRequest("largest", 0), end = performance.now() + rounds;
    const numbers = new Float32Array(client.lane.buffer, tensorsOf(0), 8192);
    const change = (): void => {
      for (let i = 0; i < 64; i++) numbers[random(8192)] = one([NaN, Infinity, -Infinity, 0, random(8192)]);
    };
    while (performance.now() < end) {
      good.fill(client);
      client.write(0, good.request, { model: 3 });
      noteAnswer(client.wait(0, client.submit(0), change));
    }
  },

  /** A request for one executor becomes one of a model that there is not, while it waits for its turn. */
  model(client: RawClient): void {
    const SLOW = 6,
      at = tensorsOf(0),
      long: RequestDescription = {
        inputs: [
          { port: 0, elementType: 1, shape: [256], place: PLACE.lane, byteOffset: at, byteLength: 1024 },
          { port: 1, elementType: 7, shape: [], place: PLACE.lane, byteOffset: at + 1024, byteLength: 8 },
        ],
        outputs: [{ port: 0, elementType: 1, shape: [], place: PLACE.lane, byteOffset: at + 2048, byteLength: 1024 }],
      };
    new BigInt64Array(client.lane.buffer, at + 1024, 1)[0] = 20n;
    for (let i = 0; i < rounds; i++) {
      client.write(0, long, { model: SLOW, flags: FLAG.own, executor: i });
      const first = client.submit(0), good = goodRequest("add", 1);
      client.write(1, good.request, { model: 0, flags: FLAG.own, executor: i });
      const second = client.submit(1);
      const answer = client.wait(
        1,
        second,
        () => client.words[slotWord(1) + SLOT.model] = one([64, 1e3, 1e6, 2 ** 32 - 1]),
      );
      noteAnswer(answer);
      noteAnswer(client.wait(0, first));
    }
  },
} as const;

using client = await RawClient.connect(socket);
await client.learn([...MODELS, "slow"]);
ATTACKS[what](client);
if (what !== "words") MODELS.forEach((_, model) => checkGood(client, model));
console.log(JSON.stringify(tally));
process.exit(0);
