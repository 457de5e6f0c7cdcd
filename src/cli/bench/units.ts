const TIMES: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `10s`, `500ms`, `1.5m` or `1h`; `undefined` for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/.exec(text) ?? [];
  return unit === undefined ? undefined : Number(number) * TIMES[unit]!;
}

const SHOWN = [["ns", 1e-6], ["µs", 1e-3], ["ms", 1], ["s", 1000]] as const;

/** A latency as people read it: three digits and a unit. */
export function formatMs(ms: number): string {
  const shown = SHOWN.map(([unit, factor]) => ({ unit, number: Number((ms / factor).toPrecision(3)) }));
  const { unit, number } = shown.find(({ number }) => number < 1000) ?? shown.at(-1)!;
  return `${number} ${unit}`;
}

/** A count, or three digits of a small rate. */
export function formatCount(count: number): string {
  return Number(count >= 100 ? count.toFixed(0) : count.toPrecision(3)).toLocaleString("en-US");
}
