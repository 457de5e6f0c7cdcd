/**
 * The picture of what sharing saves: for each number of nodes, the memory without and with the registry.
 *
 * @module
 */
import type { MemoryReport } from "../memory.ts";
import { card, element, label, palette } from "./svg.ts";

const width = 1200;
const left = 150;
const right = 250;
const top = 118;
const bar = 34;
const group = 112;

/** Draws it as SVG. */
export function drawMemory({ base, rows }: MemoryReport): string {
  const most = Math.max(...rows.flatMap(({ separate, shared }) => [separate, shared]));
  const x = (bytes: number) => (Math.max(bytes, 0) / most) * (width - left - right);
  const groups = rows.map(({ nodes, separate, shared }, i) => {
    const y = top + i * group;
    const saved = Math.round((1 - shared / separate) * 100);
    return [
      label(left - 20, y + bar + 8, `${nodes} nodes`, { "text-anchor": "end", "font-size": 18, "font-weight": 600 }),
      drawBar(y, x(separate), palette.wave, mb(separate), "each its own"),
      drawBar(y + bar + 6, x(shared), palette.accent, mb(shared), `shared, ${saved} % saved`),
    ].join("");
  });
  const height = top + rows.length * group + 20;
  const axis = element("line", {
    x1: left,
    x2: left,
    y1: top - 12,
    y2: height - 48,
    stroke: palette.faint,
    "stroke-width": 2,
  });
  const foot = label(left, height - 22, `PSS of real processes beyond the ${mb(base)} of one without nodes`, {
    "font-size": 12,
    fill: palette.soft,
  });
  const subtitle = "Every node opens PP-OCRv4 text detection and recognition";
  return card({ width, height }, "What sharing saves", subtitle, groups.join("") + axis + foot);
}

function drawBar(y: number, length: number, fill: string, amount: string, text: string): string {
  return element("rect", { x: left, y, width: Math.max(length, 2), height: bar, rx: 5, fill }) +
    label(left + length + 12, y + bar / 2 + 5, amount, { "font-weight": 600 }) +
    label(left + length + 78, y + bar / 2 + 5, text, { fill: palette.soft });
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
