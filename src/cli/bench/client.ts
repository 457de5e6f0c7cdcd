/**
 * One of the processes of `coload bench --clients`. Importing it runs nothing.
 *
 * @module
 */
import process from "node:process";
import type { Load } from "./load.ts";
import { LocalSource } from "./local_source.ts";
import { type Answer, type Command, readMessages, toLine } from "./messages.ts";

const TELL_MS = 250;

/** Does what it is told on its standard input until that ends. */
export function serveCommands(): void {
  let stopping = new AbortController(), source: LocalSource | undefined, obeyed: Promise<void> = Promise.resolve();
  const say = (answer: Answer): void => void process.stdout.write(toLine(answer));

  const sendAndTell = async (load: Load, tell: boolean): Promise<Answer> => {
    const timer = tell ? setInterval(() => say({ seen: source!.seen }), TELL_MS) : undefined;
    const recording = await source!.send(load, stopping.signal);
    clearInterval(timer);
    return { recording: recording.encode() };
  };
  const obey = async (command: Exclude<Command, { stop: true }>): Promise<Answer> => {
    stopping = new AbortController();
    try {
      if ("send" in command) return await sendAndTell(command.send, command.tell);
      source = await LocalSource.open(command.open, command.options, stopping.signal);
      return { opened: true };
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      return { error: { ...(code !== undefined && { code }), message } };
    }
  };
  process.on("SIGINT", () => {}); // a terminal sends it to all its processes: the one that leads decides
  readMessages<Command>(process.stdin, (command) => {
    if ("stop" in command) stopping.abort();
    else obeyed = obey(command).then(say);
  }, async () => {
    stopping.abort();
    await obeyed;
    await source?.[Symbol.asyncDispose]();
    process.exit();
  });
}

if (import.meta.main) serveCommands();
