/**
 * The demo's command line.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { repository } from "./files.ts";

/** What `--help` prints. */
export const help = `Coload's demo: speech detection and OCR in one pipeline whose nodes share their models.

Usage: deno task demo [options]
       bun demo/main.ts [options]

  --speech FILE    a WAV file to listen to (default: demo/assets/speech.wav)
  --picture FILE   a JPEG or PNG to read (default: demo/assets/receipt.jpg)
  --out DIR        where the pictures go (default: demo/out)
  --no-memory      do not start the processes that measure memory
  --help           this text`;

/** What the user asked for. */
export interface Options {
  readonly speech: string | undefined;
  readonly picture: string | undefined;
  readonly out: string;
  readonly memory: boolean;
  readonly help: boolean;
}

/**
 * Parses the command line.
 *
 * @throws {TypeError} when an option is unknown or lacks its value.
 */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      speech: { type: "string" },
      picture: { type: "string" },
      out: { type: "string" },
      "no-memory": { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  return {
    speech: values.speech && resolve(values.speech),
    picture: values.picture && resolve(values.picture),
    out: values.out ? resolve(values.out) : join(repository, "demo", "out"),
    memory: values["no-memory"] !== true,
    help: values.help === true,
  };
}
