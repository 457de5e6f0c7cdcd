/**
 * The picture of what sharing weights saves: what processes hold, what they share drawn once. The bench draws it from
 * what it found; this draws it again from what the bench has written: `picture.ts FOUND.json PICTURE.svg`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { card, element, label, palette } from "../../demo/picture/svg.ts";
import type { RuntimeName } from "../support/child.ts";

/** What processes hold, in bytes. */
export interface PictureBar {
  readonly way: string;
  /** Pages of the weights' file, which the machine has once. */
  readonly shared: number;
  /** What each process has beside that. */
  readonly each: readonly number[];
}

/** What is drawn. */
export interface PictureData {
  readonly byteLength: number;
  readonly machine: string;
  readonly versions: string;
  readonly date: string;
  readonly runtimes: readonly { readonly runtime: RuntimeName; readonly bars: readonly PictureBar[] }[];
}

const WIDTH = 1200, LEFT = 250, RIGHT = 250, TOP = 152, BAR = 30, GAP = 6, GROUP_GAP = 26, SLIT = 1.5;
const NAMES: Readonly<Record<RuntimeName, string>> = { deno: "Deno", bun: "Bun" };

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`;
const total = ({ shared, each }: PictureBar): number => each.reduce((sum, bytes) => sum + bytes, shared);

function drawBar(bar: PictureBar, plain: PictureBar, y: number, width: (bytes: number) => number): string {
  let x = LEFT;
  const piece = (bytes: number, fill: string): string => {
    const drawn = width(bytes),
      rect = element("rect", {
        x,
        y,
        width: Math.max(drawn - SLIT, 0.5),
        height: BAR,
        fill,
      });
    x += drawn;
    return rect;
  };
  const pieces = [
    ...bar.shared > 0 ? [piece(bar.shared, palette.accent)] : [],
    ...bar.each.map((bytes) => piece(bytes, palette.wave)),
  ];
  const saved = Math.round(100 * (1 - total(bar) / total(plain)));
  return [
    label(LEFT - 14, y + BAR / 2 + 5, bar.way, { "text-anchor": "end" }),
    ...pieces,
    label(x + 10, y + BAR / 2 + 5, gigabytes(total(bar)), { "font-weight": 600 }),
    ...bar === plain ? [] : [label(x + 84, y + BAR / 2 + 5, `${saved} % less`, { fill: palette.soft })],
  ].join("");
}

function legend(y: number): string {
  const box = (x: number, fill: string, text: string): string =>
    element("rect", { x, y: y - 11, width: 14, height: 14, fill }) + label(x + 22, y + 1, text, { fill: palette.soft });
  return box(LEFT, palette.accent, "weights in a file that all map: held once by the machine") +
    box(LEFT + 440, palette.wave, "what each process has for itself, its runtime included");
}

/** Draws it as SVG. */
export function drawPicture({ byteLength, machine, versions, date, runtimes }: PictureData): string {
  const most = Math.max(...runtimes.flatMap(({ bars }) => bars.map(total)));
  const width = (bytes: number): number => bytes / most * (WIDTH - LEFT - RIGHT);
  const parts: string[] = [legend(112)];
  let y = TOP;
  for (const { runtime, bars } of runtimes) {
    for (const count of new Set(bars.map(({ each }) => each.length))) {
      const group = bars.filter(({ each }) => each.length === count), plain = group.find(({ way }) => way === "plain")!;
      parts.push(label(40, y + 18, `${count} processes`, { "font-size": 15, "font-weight": 600 }));
      parts.push(label(40, y + 38, `of ${NAMES[runtime]}`, { fill: palette.soft }));
      for (const bar of group) {
        parts.push(drawBar(bar, plain, y, width));
        y += BAR + GAP;
      }
      y += GROUP_GAP;
    }
  }
  const foot = { "font-size": 12, fill: palette.soft };
  parts.push(label(40, y + 8, "PSS from /proc/PID/smaps_rollup, after runs and 2.5 s of rest, whole processes.", foot));
  parts.push(label(40, y + 26, `${machine}; ${versions}; ${date}`, foot));
  const title = `What processes with one model of ${gigabytes(byteLength)} hold together`;
  const subtitle = "plain: each reads the weights for itself; prepacked and mapped: all map the copy that was prepared";
  return card({ width: WIDTH, height: y + 46 }, title, subtitle, parts.join(""));
}

if (import.meta.main) {
  const [found, picture] = process.argv.slice(2);
  if (found === undefined || picture === undefined) throw new Error("picture.ts FOUND.json PICTURE.svg");
  writeFileSync(picture, drawPicture(JSON.parse(readFileSync(found, "utf8"))));
}
