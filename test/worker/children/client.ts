// A client that runs requests all the time: see ../deaths_test.ts.
import process from "node:process";
import { createInterface } from "node:readline";
import { Tensor, type Tensors } from "../../../mod.ts";
import { ModelClient } from "../../../src/client/mod.ts";

const [socket, how] = process.argv.slice(2) as [string, "sync" | "async" | "sequence"];
const say = (what: unknown): void => console.log(JSON.stringify(what));
const client = await ModelClient.connect(socket), add = await client.model("add");
let stopped = false, answers = 0, wrong = 0;

const feeds = (last: number): { a: Tensor; b: Tensor } => ({
  a: Tensor.from(Float32Array.of(1, 2, 3, last)),
  b: Tensor.from(Float32Array.of(10, 20, 30, 40)),
});

function check({ c }: Tensors, last: number): void {
  answers++;
  if ([...c!.as("float32").data].join() !== `11,22,33,${40 + last}`) wrong++;
}

async function askOnAndOn(): Promise<void> {
  while (!stopped) {
    const last = answers % 1000;
    check(await add.run(feeds(last)), last);
  }
}

const HOW = {
  async(): void {
    const asking = Promise.all(Array.from({ length: 10 }, askOnAndOn));
    say("BUSY");
    createInterface({ input: process.stdin }).once("line", () => {
      stopped = true;
      void asking.then(() => say({ answers, wrong }));
    }).on("close", () => process.exit(0));
  },
  sync(): void {
    check(add.runSync(feeds(1)), 1);
    say("BUSY");
    try {
      for (;;) check(add.runSync(feeds(1)), 1);
    } catch (error) {
      say({ code: (error as { code: string }).code });
    }
    process.exit(wrong);
  },
  async sequence(): Promise<void> {
    const x = Tensor.from(Float32Array.of(5, 5, 5, 5));
    await client.infer("sum", { x }, { sequence: { id: 7, start: true } });
    say("BUSY");
    process.stdin.on("end", () => process.exit(0)).resume();
  },
} as const;

await HOW[how]();
