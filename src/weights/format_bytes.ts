/** The units of bytes, and how many bytes each is. */
export const BYTE_UNITS: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** Bytes as people read them: three digits, and a unit of thousands. */
export function formatBytes(bytes: number): string {
  const [unit, factor] = Object.entries(BYTE_UNITS).findLast(([, factor]) => bytes >= factor) ?? ["B", 1];
  return `${Number((bytes / factor).toPrecision(3))} ${unit}`;
}
