// Does something with a worker in a process of its own, and prints it as JSON: see ../client_process.ts.
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { SharedMemoryAllocator, Tensor } from "../../../mod.ts";
import { ModelClient } from "../../../src/client/mod.ts";

const [what, socket, how] = process.argv.slice(2) as [string, string, string];
const client = await ModelClient.connect(socket, { sharedMemory: how !== "bytes" });
const a = Tensor.from(new Float32Array([1, 2])), b = Tensor.from(new Float32Array([3, 4]));
const say = (value: unknown): void => console.log(JSON.stringify(value));

/** Every way to run a model. */
async function pair(): Promise<void> {
  const allocator = new SharedMemoryAllocator(), shared = allocator.share(a), given = allocator.tensor("float32", [2]);
  const model = await client.model("add");
  const run = async (x: Tensor): Promise<number[]> => [...(await model.run({ a: x, b })).c!.as("float32").data];
  const results = [await run(a), await run(shared)];
  await model.run({ a, b }, { outputs: { c: given } });
  results.push([...given.data]);
  results.push([...model.runSync({ a: shared, b }).c!.as("float32").data]);
  const ones = Tensor.from(new Float32Array(50_000).fill(1));
  const large = await client.infer("dynamic", { x: ones }, { outputStorage: "shared" });
  const texts = await client.infer("strings", { text: Tensor.from(["ä", ""], [2], "string") });
  const many = await Promise.all(Array.from({ length: 200 }, () => run(a)));
  let streamed = 0;
  for await (const out of client.inferStream("add", Array.from({ length: 50 }, () => ({ a, b })))) {
    streamed += out.c!.as("float32").data[0]!;
  }
  const refused = await client.infer("add", { a }).catch(({ code }) => code);
  say({
    results,
    large: large.y!.shape,
    texts: texts.twice!.data,
    many: new Set(many.map(String)).size,
    streamed,
    refused,
  });
  allocator[Symbol.dispose]();
  large[Symbol.dispose]();
}

if (what === "pair") {
  await pair();
  await client[Symbol.asyncDispose]();
} else if (what === "idle") {
  await client.infer("add", { a, b });
  say("idle");
} else if (what === "disposed") {
  await client.infer("add", { a, b });
  await client[Symbol.asyncDispose]();
  say("disposed");
} else if (what === "in flight") { // the event loop must not end before it is answered
  void client.infer("add", { a, b }).then(({ c }) => say([...c!.as("float32").data]));
} else if (what === "given up") { // nor must it go on for the sake of a run that nobody waits for
  const stop = new AbortController(), iterations = Tensor.from([10_000_000], [], "int64");
  const running = client.infer("slow", { x: Tensor.zeros("float32", [256]), iterations }, { signal: stop.signal });
  await sleep(50);
  stop.abort("enough");
  await running.catch(say);
} else if (what === "kill when busy") {
  for (let status = await client.status();; status = await client.status()) {
    if (status.state !== "busy") continue;
    process.kill(status.pid, "SIGKILL");
    break;
  }
}
