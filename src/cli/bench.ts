import { Command, Option } from "commander";
import { statSync } from "node:fs";
import path from "node:path";
import type { StorageKind } from "../tensor/storage.ts";
import * as parse from "./bench/arguments.ts";
import { dimension, shape } from "./named_arguments.ts";

interface Flags {
  readonly endpoint?: string;
  readonly concurrency?: readonly number[];
  readonly clients: number;
  readonly duration?: number;
  readonly warmup: number;
  readonly requests?: number;
  readonly rate?: number;
  readonly sync?: boolean;
  readonly dim?: ReadonlyMap<string, number>;
  readonly shape?: ReadonlyMap<string, readonly number[]>;
  readonly value?: ReadonlyMap<string, number>;
  readonly storage: StorageKind;
  readonly json?: boolean;
  readonly histogram?: string;
}

const DURATION_MS = 10_000, WARMUP_MS = 2000;
/** Requests of an open loop that are on their way at most, where nothing is said. */
const OPEN_LOOP_CONCURRENCY = 1000;

const isFolder = (name: string): boolean => statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** What is wrong with options that are right by themselves. */
function mistake({ endpoint, clients, concurrency, sync, histogram }: Flags): string | undefined {
  if (clients > 1 && endpoint === undefined) {
    return "--clients is for an --endpoint: in this process there is one client";
  }
  if (sync && concurrency?.some((level) => level > 1)) {
    return `--sync sends one request at a time, --concurrency ${concurrency.join()} found: --clients sends more`;
  }
  const folder = histogram === undefined ? undefined : path.dirname(path.resolve(histogram));
  if (folder !== undefined && (!isFolder(folder) || isFolder(histogram!))) {
    return `--histogram wants a file in a folder that is there, ${histogram} found`;
  }
  return undefined;
}

/** `coload bench`: sends requests to a model, and says how long they take. */
export function benchCommand(onEnd: (exitCode: number) => void): Command {
  return new Command("bench")
    .summary("send requests to a model, and say how long they take")
    .description(
      "Send requests to models, in this process or in a worker's, and say how many a second succeed and how their " +
        "latencies are distributed.\n\n" +
        "Closed loop (--concurrency): so many requests are always on their way; each begins when another ends, so a " +
        "slow model is asked less. It says how much a model can do.\n" +
        "Open loop (--rate): requests begin at fixed times, however slow the model is. Latency counts from the time " +
        "when a request should have begun, so that waiting counts, and no slow moment goes unseen (no coordinated " +
        "omission). It says what users see at that rate. The sender keeps a core busy at more than about 400/s.\n\n" +
        "Ctrl-C ends early, with what was measured by then. The exit code is 1 if all requests fail.",
    )
    .argument("<models...>", "paths of .onnx files; with --endpoint the names of a worker's models")
    .option("--endpoint <endpoint>", "where a worker listens, such as unix:/run/coload.sock", parse.something)
    .option(
      "--concurrency <levels>",
      "requests on their way at the same time; one line each; with --rate at most",
      parse.levels,
    )
    .option("--clients <count>", "processes that send, each with a connection, --concurrency each", parse.clients, 1)
    .option(
      "--duration <time>",
      "how long requests are sent; those on their way then are waited for (default: 10s)",
      parse.duration,
    )
    .addOption(
      new Option("--warmup <time>", "how long requests are sent before").argParser(parse.durationOrNone).default(
        WARMUP_MS,
        "2s",
      ),
    )
    .option("--requests <count>", "end after so many requests; no --duration then, unless it is given", parse.count)
    .option("--rate <rate>", "requests a second of all clients together, such as 500/s: an open loop", parse.rate)
    .option("--sync", "wait for each request on the calling thread")
    .option("--dim <name=size>", "size of an open dimension, else 1; may be repeated", dimension)
    .option("--shape <name=sizes>", "shape of an input, such as input=1,512; may be repeated", shape)
    .option(
      "--value <name=number>",
      "what all elements of an input are, such as sr=16000; may be repeated",
      parse.value,
    )
    .addOption(
      new Option("--storage <storage>", "where the tensors lie, inputs and outputs")
        .choices(["heap", "native", "shared"]).default("heap"),
    )
    .option("--json", "for programs to read")
    .option(
      "--histogram <file>",
      "write HdrHistogram's percentile distribution, in milliseconds; one file a line",
      parse.something,
    )
    .action(async (models: string[], flags: Flags, command: Command) => {
      const wrong = mistake(flags);
      if (wrong !== undefined) command.error(`error: ${wrong} (--help says more)`);
      onEnd(await run(models, flags));
    });
}

async function run(models: readonly string[], flags: Flags): Promise<number> {
  const { runBench } = await import("./bench/run_bench.ts");
  const { endpoint, clients, concurrency, requests, rate, storage, histogram, sync = false, json = false } = flags;
  const durationMs = flags.duration ?? (requests === undefined ? DURATION_MS : undefined);
  return await runBench({
    models,
    ...(endpoint !== undefined && { endpoint }),
    clients,
    levels: concurrency ?? [rate === undefined || sync ? 1 : OPEN_LOOP_CONCURRENCY],
    ...(durationMs !== undefined && { durationMs }),
    ...(requests !== undefined && { requests }),
    warmupMs: flags.warmup,
    ...(rate !== undefined && { rate }),
    request: {
      sync,
      storage,
      ...(flags.dim && { dimensions: Object.fromEntries(flags.dim) }),
      ...(flags.shape && { shapes: Object.fromEntries(flags.shape) }),
      ...(flags.value && { values: Object.fromEntries(flags.value) }),
    },
    json,
    ...(histogram !== undefined && { histogram }),
  });
}
