import process from "node:process";
import CliTable from "cli-table3";
import picocolors from "picocolors";

const PLAIN = Object.fromEntries(
  ["top", "bottom", "mid", "left", "right"].flatMap((at) =>
    ["", "-mid", "-left", "-right"].map((part) => [`${at}${part}`, ""])
  ),
);

/** Rows under their heads, in columns without lines. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const colors = picocolors.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);
  const lines = new CliTable({
    head: head.map((title) => colors.dim(title)),
    chars: { ...PLAIN, middle: "  " },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  lines.push(...rows.map((row) => [...row]));
  return lines.toString().replace(/ +$/gm, "");
}
