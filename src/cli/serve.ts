import { Command, Option } from "commander";
import { another, count, type Flags, milliseconds, size, something, state, ttl, version } from "./serve/flags.ts";

/** Bounds of options, as the worker has them. */
const MOST_BATCH = 1024, MOST_EXECUTORS = 16, MOST_QUEUED = 2 ** 31 - 1, MOST_DELAY_MS = 60_000;

const EXAMPLES = `
A model is called what its file is, without .onnx, or what stands before "=". Options are those of all models; a config
file can say more of each, and what the command line says goes before it:
  { "models": { "vad": { "path": "silero_vad.onnx", "maxBatchSize": 8, "state": { "state": "stateN" } } } }

Signals: SIGTERM and SIGINT end it when what is in flight is answered, a second one at once. SIGHUP loads models anew
whose files were changed; they are also looked at every second. A worker that dies is started again, after 100 ms at
first and 10 s at last. Exit codes: 0 after SIGTERM, 130 after SIGINT, 2 for a wrong command line, 1 for all else.

Examples:
  coload serve model.onnx
  coload serve vad=silero_vad.onnx ocr=detection.onnx --socket /run/models.sock --max-batch 8 --queue-delay 2
  coload serve vad=silero_vad.onnx --state vad:state=stateN --ttl 10m
  coload serve vad=silero_vad.onnx --http 8000
  coload serve --config models.json --share-weights prepacked --json
  coload serve model.onnx --if-absent &`;

/** `coload serve`: a process that owns models, and runs them for others. */
export function serveCommand(onEnd: (exitCode: number) => void): Command {
  return new Command("serve")
    .summary("load models once, and run them for other processes")
    .description(
      "Load models once, and run them for all processes of this user, which reach them by ModelClient, or by coload " +
        "run and coload bench with --endpoint. It says on stderr what happens, and goes on until it is told to end.",
    )
    .argument("[models...]", "paths of .onnx files, or name=path")
    .option("--socket <path>", "where it listens; by default where clients look that are told no place", something)
    .option("--config <file>", "a JSON file of a worker's options; paths in it are those of its folder", something)
    .option("--max-batch <count>", "requests that run as one at most, where that changes no result", count(MOST_BATCH))
    .option(
      "--queue-delay <ms>",
      "for how long a request may wait for others while the model is busy",
      milliseconds(0, MOST_DELAY_MS),
    )
    .option("--queue-size <count>", "requests of a model that wait at most; more are refused", count(MOST_QUEUED))
    .option(
      "--queue-timeout <ms>",
      "for how long a request waits for its turn before it fails",
      milliseconds(Number.MIN_VALUE, Infinity),
    )
    .option("--ttl <time>", "for how long a model stays loaded without a request: 10m, or -1 for ever (default)", ttl)
    .option("--http <address>", "also answer the Open Inference Protocol over HTTP: 8000, or 0.0.0.0:8000", something)
    .option("--server-name <name>", "what it calls itself over HTTP; some clients look for triton", something)
    .option("--token-file <file>", "a file with the token that callers over HTTP must bring", something)
    .option("--allow-host <name>", "a name that callers over HTTP may use for this server; may be repeated", another)
    .option("--allow-origin <origin>", "web pages that may call it, https://example.org; may be repeated", another)
    .option("--allow-client-shm", "let callers over HTTP name shared memory that tensors lie in")
    .option("--allow-repository-control", "let callers over HTTP load and unload models")
    .option("--max-body <size>", "what a request over HTTP may have at most, 64MiB by default", size)
    .option("--executors <count>", "threads that run models", count(MOST_EXECUTORS))
    .option("--max-memory <size>", "what all models together may hold, such as 2GB", size)
    .option(
      "--state <model:input=output>",
      "an output that is the input's next value in a sequence; may be repeated",
      state,
    )
    .addOption(
      new Option("--share-weights <mode>", "whether weights lie in memory that all processes share")
        .choices(["auto", "mapped", "prepacked", "off"]),
    )
    .option("--no-warmup", "do not run models once before they are ready")
    .option("--version-of <model=version>", "what a model's version is called, 1 by default; may be repeated", version)
    .option("--no-restart", "end with 1 when the worker dies")
    .option("--if-absent", "end with 0 where a worker is running at the socket already")
    .option("--json", "for programs to read: a line of JSON for each event")
    .addHelpText("after", EXAMPLES)
    .action(async (models: string[], flags: Flags, command: Command) => {
      const { workerOptions } = await import("./serve/worker_options.ts");
      let options;
      try {
        options = workerOptions(models, flags);
      } catch (error) {
        command.error(`error: ${(error as Error).message} (--help says more)`);
      }
      const [{ supervise }, { serveLog }] = await Promise.all([
        import("./serve/supervise.ts"),
        import("./serve/log.ts"),
      ]);
      const { restart: restarts, ifAbsent = false, json = false } = flags;
      onEnd(await supervise({ options, restarts, ifAbsent, json }, serveLog({ json })));
    });
}
