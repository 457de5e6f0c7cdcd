import { Command } from "commander";
import process from "node:process";
import picocolors from "picocolors";
import { describeAttempts } from "../ort/locate.ts";
import { type Check, diagnose, type Report } from "./doctor/diagnose.ts";

/** `coload doctor`: says what works on this machine, and how to mend what does not. */
export function doctorCommand(onEnd: (exitCode: number) => void): Command {
  return new Command("doctor")
    .summary("say what works here, and how to mend what does not")
    .description(
      "Say which onnxruntime library is used and how it was found, what was tried before, which fast paths and " +
        "execution providers there are, what memory can be shared and what is left over in it, which Python can be started, and how to mend what does not work. The exit code is 1 if something fails.",
    )
    .option("--json", "for programs to read")
    .option("--sweep", "remove what dead processes left in shared memory, before looking")
    .action(async ({ json, sweep }: { readonly json?: boolean; readonly sweep?: boolean }) => {
      const report = await diagnose({ sweep: sweep ?? false });
      console.log(json ? JSON.stringify(report, null, 2) : describe(report));
      onEnd(report.ok ? 0 : 1);
    });
}

const MARKS = { works: "✓", slow: "!", untried: "?", missing: "-", fails: "✗" } as const;

function describe({ coload, runtime, platform, checks, tried }: Report): string {
  const attempts = describeAttempts(tried).map((line) => `  ${line}`);
  return [
    `Coload ${coload} on ${runtime}, ${platform}`,
    "",
    ...checks.flatMap(describeCheck),
    ...(attempts.length === 0 ? [] : ["", "Where the library was sought in vain:", ...attempts]),
  ].join("\n");
}

function describeCheck({ name, state, says, mend }: Check): string[] {
  const colors = picocolors.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);
  const paint =
    { works: colors.green, slow: colors.yellow, untried: colors.cyan, missing: colors.dim, fails: colors.red }[state];
  const lines = [`${paint(MARKS[state])} ${name.padEnd(9)} ${says}`];
  if (mend !== undefined) lines.push(`  ${"".padEnd(9)} ${colors.dim(mend)}`);
  return lines;
}
