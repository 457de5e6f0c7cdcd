import { BYTE_UNITS } from "../../weights/format_bytes.ts";

const AGES: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, number, unit] = /^([0-9]+(?:\.[0-9]+)?)([a-zA-Z]+)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : units[unit];
  return factor === undefined ? undefined : Number(number) * factor;
}

/** Milliseconds of `30d`, `12h`, `5m` or `10s`; `undefined` for anything else. */
export function parseAge(text: string): number | undefined {
  return parse(text, AGES);
}

/** Bytes of `20GB`, `500MB` and the like; `undefined` for anything else. */
export function parseSize(text: string): number | undefined {
  return parse(text, BYTE_UNITS);
}

/** How long ago a time was, in words. */
export function ago(time: number, now: number = Date.now()): string {
  const [unit, factor] = Object.entries(AGES).findLast(([, factor]) => now - time >= factor) ?? ["s", 1000];
  return `${Math.max(0, Math.floor((now - time) / factor))}${unit} ago`;
}
