/** A large input over HTTP: as JSON, as bytes, and in shared memory that the caller names. */
import { InferenceSession, SharedMemoryAllocator, Tensor } from "../../mod.ts";
import { type Case, THREADS } from "../support/cases.ts";
import { contest, type Contestant, ratio, type Result } from "../support/contest.ts";
import { atLeast, type Row, table } from "../support/report.ts";
import { randomNumbers } from "../support/shared_random.ts";
import { separate } from "../lane/cores.ts";
import { quickest } from "../lane/results.ts";
import { type Asked, type Client, CLIENTS, openClient } from "./clients.ts";
import { type Form, inferRequest, type Server } from "./requests.ts";
import { SharedFile } from "./shared_file.ts";
import type { HttpWorker } from "./worker.ts";

const FLOATS = 10 * 2 ** 20 / 4, ROUNDS = 9, CALLS = 5, REGION = "input";
const JSON_TEXT = "JSON", BINARY = "binary", THERE = "shared memory, where it lies already";
/** How many times as quick as JSON bytes have to be, and as quick as bytes what lies in shared memory. */
const BARS: Readonly<Record<string, readonly [slower: string, times: number]>> = {
  [BINARY]: [JSON_TEXT, 20],
  [THERE]: [BINARY, 5],
};

/** Few calls at a time, each timed by itself: they take long. */
function few(name: string, call: () => unknown, calls = CALLS): Contestant {
  return {
    name,
    async measure() {
      const took: number[] = [];
      while (took.length < calls) {
        const started = performance.now();
        await call();
        took.push((performance.now() - started) * 1e6);
      }
      return took;
    },
  };
}

/** Asks for the sum of an array. */
function sumOf(server: Server, model: Case, array: Float32Array<ArrayBuffer>, form: Form): Asked {
  const shape = [array.length], tensor = Tensor.from(array, shape);
  return inferRequest(server, model.name, [{ name: "x", dtype: "float32", shape, tensor, part: undefined }], form);
}

/** Asks for the sum of what lies in the region. */
function sumOfRegion(server: Server, model: Case): Asked {
  const part = { region: REGION, byteOffset: 0, byteLength: 4 * FLOATS }, shape = [FLOATS];
  return inferRequest(server, model.name, [{ name: "x", dtype: "float32", shape, tensor: undefined, part }], "binary");
}

async function register(client: Client, server: Server, { key }: SharedFile): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify({ key, offset: 0, byte_size: 4 * FLOATS }));
  const path = `/v2/systemsharedmemory/region/${REGION}/register`;
  await client.post({ ...server, path, headers: {}, parts: [body] });
}

/** Measures and tells. */
export async function measureLarge(large: Case, { child, server }: HttpWorker): Promise<void> {
  using closing = new DisposableStack();
  const clients = CLIENTS.map((kind) => ({ kind, client: closing.use(openClient(kind)) }));
  const long = Float32Array.from({ length: FLOATS }, randomNumbers(1)), short = new Float32Array(FLOATS).fill(0.5);
  const file = closing.use(new SharedFile()), bytes = new Uint8Array(long.buffer);
  file.write(bytes);
  await register(clients[0]!.client, server, file);
  using allocator = new SharedMemoryAllocator();
  const shared = closing.use(allocator.share(Tensor.from(long, [FLOATS])));
  await using session = await InferenceSession.create(large.path, { intraOpNumThreads: THREADS });
  await separate([child], true);
  const binary = sumOf(server, large, long, "binary"), region = sumOfRegion(server, large);
  const tried = await contest(clients.map(({ kind, client }) => few(kind, () => client.post(binary))), ROUNDS);
  const { kind, client } = clients[tried.indexOf(quickest(tried))]!;
  const text = sumOf(server, large, long, "JSON");
  using target = allocator.tensor("uint8", [bytes.length]);
  const results = await contest([
    few("floor: run, in this process", () => session.run({ x: shared })),
    few("floor: the copy of what lies in the region, in this process", () => file.read(target.data as Uint8Array)),
    few(JSON_TEXT, () => client.post(sumOf(server, large, long, "JSON")), 1),
    few("JSON, its text made before", () => client.post(text), 1),
    few("JSON, of numbers with one digit", () => client.post(sumOf(server, large, short, "JSON")), 1),
    few(BINARY, () => client.post(binary)),
    few("shared memory, copied there first", () => {
      file.write(bytes);
      return client.post(region);
    }),
    few(THERE, () => client.post(region)),
  ], ROUNDS);
  await separate([child], false);
  tell(`10 MiB of floats over HTTP, by ${kind}, on cores of their own`, results);
}

function tell(title: string, results: readonly Result[]): void {
  const of = (name: string): Result => results.find((result) => result.name === name)!;
  table(
    title,
    results.map((result): Row => {
      const { name, p50, p99 } = result, [slower, least] = BARS[name] ?? [];
      return {
        what: name,
        "p50 ms": p50 / 1e6,
        "p99 ms": p99 / 1e6,
        "times as quick as JSON": ratio(of(JSON_TEXT), result),
        "as binary": ratio(of(BINARY), result),
        ...(slower !== undefined && atLeast(ratio(of(slower), result), least!, ` x ${slower}`)),
      };
    }),
  );
}
