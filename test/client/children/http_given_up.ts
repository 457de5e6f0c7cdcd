// Gives up an inference whose output a server writes into shared memory, and ends: see ../http_life_test.ts.
import process from "node:process";
import { SharedMemoryAllocator, Tensor } from "../../../mod.ts";
import { ModelClient } from "../../../src/client/mod.ts";

const client = await ModelClient.connect(process.argv[2]!);
const allocator = new SharedMemoryAllocator({ backend: "named" }), c = allocator.tensor("float32", [2]);
const a = Tensor.from(new Float32Array([1, 2])), stop = new AbortController();
const running = client.infer("add", { a, b: a }, { outputs: { c }, signal: stop.signal });
const failed = running.catch((error) => error);
await client.status(); // which is told when the inference has come
stop.abort("given up");
console.log(await failed);
await client[Symbol.asyncDispose]();
