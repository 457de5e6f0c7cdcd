import { Command, InvalidArgumentError, Option } from "commander";
import type { SessionOptions } from "../ort/session_options.ts";
import type { SharingMode } from "../weights/key.ts";
import { collectCopies, listCopies, removeCopies, verifyCopies } from "./prepare/copies.ts";
import { prepareModels } from "./prepare/prepare_models.ts";
import { parseAge, parseSize } from "./prepare/units.ts";

type GraphOptimizationLevel = NonNullable<SessionOptions["graphOptimizationLevel"]>;

interface Flags {
  readonly mode: SharingMode;
  readonly dim?: Readonly<Record<string, number>>;
  readonly level: GraphOptimizationLevel;
  readonly override?: Readonly<Record<string, number>>;
  readonly force?: boolean;
  readonly list?: boolean;
  readonly verify?: boolean;
  readonly remove?: boolean;
  readonly gc?: boolean;
  readonly maxAge: number;
  readonly maxSize: number;
  readonly dir?: string;
  readonly json?: boolean;
}

function dimension(text: string, before: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const [, name, size] = /^(.+)=([1-9][0-9]{0,9})$/.exec(text) ?? [];
  if (name === undefined || Number(size) >= 2 ** 31) {
    throw new InvalidArgumentError("A name and a size from 1 on wanted, such as height=640.");
  }
  return { ...before, [name]: Number(size) };
}

function folder(text: string): string {
  if (text === "") throw new InvalidArgumentError("A folder wanted.");
  return text;
}

function unit(parse: (text: string) => number | undefined, example: string): (text: string) => number {
  return (text) => {
    const value = parse(text);
    if (value === undefined) throw new InvalidArgumentError(`A number with a unit wanted, such as ${example}.`);
    return value;
  };
}

const OTHERS = ["list", "verify", "remove", "gc"] as const;

/** `coload prepare`: makes copies of models whose weights all processes share, and looks after them. */
export function prepareCommand(onEnd: (exitCode: number) => void): Command {
  const only = (name: (typeof OTHERS)[number], text: string): Option =>
    new Option(`--${name}`, text).conflicts([...OTHERS.filter((other) => other !== name), "force"]);
  return new Command("prepare")
    .summary("prepare models, so that all processes share one copy of their weights")
    .description(
      "Convert models once for this machine, so that all processes that load them share one physical copy of their " +
        "weights. Each copy is verified: loaded, run, and compared with the model. Programs find a prepacked one by " +
        "themselves, a mapped one when they ask for it. The exit code is 1 if a model's weights cannot be shared, or a " +
        "copy is damaged.",
    )
    .argument("[models...]", "paths of .onnx files; for --verify and --remove also keys of copies, or the start of one")
    .addOption(
      new Option(
        "--mode <mode>",
        "prepacked: full speed; mapped: for programs that ask for it: instant start, slower runs",
      )
        .choices(["prepacked", "mapped"]).default("prepacked"),
    )
    .option(
      "--dim <name=size>",
      "size of an open dimension that all the models have, in the runs that verify the copies; may be repeated",
      dimension,
    )
    .addOption(
      new Option("--level <level>", "graph optimization level of the sessions that will use the copy")
        .choices(["disabled", "basic", "extended", "all"]).default("all"),
    )
    .option("--override <name=size>", "free dimension override of these sessions; may be repeated", dimension)
    .option("--force", "make the copy anew though it is there")
    .addOption(only("list", "say what is prepared, and what is usable here"))
    .addOption(only("verify", "read copies again, run them and compare: those named, or all"))
    .addOption(only("remove", "remove the copies that are named; processes that use them go on"))
    .addOption(only("gc", "remove what is damaged, left over, or unused for long"))
    .addOption(
      new Option("--max-age <time>", "for --gc: how long a copy may be unused")
        .argParser(unit(parseAge, "30d or 12h")).default(parseAge("30d"), "30d"),
    )
    .addOption(
      new Option("--max-size <size>", "for --gc: what all copies may take; those used last stay")
        .argParser(unit(parseSize, "20GB")).default(Infinity, "any"),
    )
    .option("--dir <folder>", "a cache folder other than the user's", folder)
    .option("--json", "for programs to read")
    .action(async (models: string[], flags: Flags, command: Command) => {
      if (!flags.gc && ["maxAge", "maxSize"].some((name) => command.getOptionValueSource(name) === "cli")) {
        command.error("error: --max-age and --max-size are for --gc (--help says more)");
      }
      const alone = (["list", "gc"] as const).find((name) => flags[name]);
      if (alone && models.length > 0) command.error(`error: --${alone} takes no models (--help says more)`);
      if (flags.list) await listCopies(flags);
      else onEnd(await run(models, flags, command));
    });
}

function run(models: readonly string[], flags: Flags, command: Command): Promise<number> {
  if (flags.gc) return collectCopies(flags);
  if (flags.verify) return verifyCopies(models, flags);
  if (models.length === 0) command.error("error: no models are named (--help says more)");
  return flags.remove ? removeCopies(models, flags) : prepareModels(models, flags);
}
