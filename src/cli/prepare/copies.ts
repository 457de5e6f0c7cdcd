import { resolve } from "node:path";
import { realPath } from "../../../ffi/files.ts";
import { NativeError } from "../../errors.ts";
import { startOrt } from "../../ort/environment.ts";
import { WeightsCache } from "../../weights/cache.ts";
import { collect, type Entry, inventory, removeCopy, verifyCopy } from "../../weights/inventory.ts";
import { platform } from "../../weights/key.ts";
import { knownContent } from "../../weights/source.ts";
import { Interrupts } from "../interrupts.ts";
import { formatBytes } from "../../weights/format_bytes.ts";
import { ago } from "./units.ts";

interface Options {
  readonly dir?: string;
  readonly json?: boolean;
}

/** Characters of a key that tell copies apart. */
const SHORT = 12;

async function everyEntry(dir: string | undefined): Promise<{ cache: WeightsCache; entries: Entry[] }> {
  const cache = WeightsCache.locate(dir);
  if (!cache.exists()) return { cache, entries: [] };
  await startOrt();
  return { cache, entries: inventory(cache, await platform({ cache })) };
}

/** What the user sees of an entry, and programs read. */
function report({ key, directory, state, why, copy, byteLength, usedAt }: Entry): Record<string, unknown> {
  const { fields, source, sharedBytes, madeAt } = copy?.manifest ?? {};
  const made = madeAt === undefined ? {} : { madeAt: new Date(madeAt).toISOString() };
  return {
    key,
    model: source?.name,
    mode: fields?.mode,
    state,
    ...(why !== undefined && { why }),
    sharedBytes,
    byteLength,
    ...made,
    usedAt: new Date(usedAt).toISOString(),
    directory,
  };
}

function line({ key, state, why, copy, byteLength, usedAt }: Entry): string {
  const { fields, source, sharedBytes = 0 } = copy?.manifest ?? {};
  const facts = [
    fields?.mode ?? "?",
    `${formatBytes(sharedBytes)} shared`,
    `${formatBytes(byteLength)} on disk`,
    `used ${ago(usedAt)}`,
  ];
  const note = why === undefined ? [] : [`  ${state === "refused" ? "not shared" : state}: ${why}`];
  return [`${key.slice(0, SHORT)}  ${source?.name ?? "?"}`, `  ${facts.join(", ")}`, ...note].join("\n");
}

/** Says what is prepared. */
export async function listCopies({ dir, json }: Options): Promise<void> {
  const { cache, entries } = await everyEntry(dir);
  if (json) return console.log(JSON.stringify(entries.map(report), null, 2));
  if (entries.length === 0) return console.log(`Nothing is prepared in ${cache.path}`);
  for (const entry of entries) console.log(line(entry));
  const bytes = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  console.log(`${entries.length} in ${cache.entries}, ${formatBytes(bytes)}`);
}

/** What is known to be in a model, external data included, as a text to compare; `undefined` for what is none. */
function contentOf(path: string, cache: WeightsCache): string | undefined {
  try {
    const content = knownContent(path, cache);
    return content && JSON.stringify(content);
  } catch (error) {
    if (error instanceof NativeError) return undefined;
    throw error;
  }
}

/** The entries that names stand for: models, or keys, or the start of one. */
function select(
  cache: WeightsCache,
  entries: readonly Entry[],
  names: readonly string[],
): { readonly found: readonly Entry[]; readonly unknown: readonly string[] } {
  const found = new Set<Entry>(), unknown: string[] = [];
  for (const name of names) {
    const path = realPath(name) ?? resolve(name), content = contentOf(path, cache);
    const matches = entries.filter(({ key, copy }) => {
      const { source, fields } = copy?.manifest ?? {};
      return source?.name === path || (content !== undefined && JSON.stringify(fields?.source) === content) ||
        (name.length >= 4 && key.startsWith(name));
    });
    if (matches.length === 0) unknown.push(name);
    for (const entry of matches) found.add(entry);
  }
  return { found: [...found], unknown };
}

function tellUnknown(unknown: readonly string[]): void {
  for (const name of unknown) console.error(`${name}: nothing is prepared from it, and no copy has such a key`);
}

/** Verifies copies. @returns the exit code: 1 when one is damaged or not there */
export async function verifyCopies(names: readonly string[], { dir, json }: Options): Promise<number> {
  using interrupts = new Interrupts();
  const { cache, entries } = await everyEntry(dir), problems: Record<string, string | undefined> = {};
  const { found, unknown } = names.length === 0 ? { found: entries, unknown: [] } : select(cache, entries, names);
  tellUnknown(unknown);
  for (const { key, state, why, copy } of found) {
    let problem = state === "damaged" ? why : undefined;
    if (copy !== undefined && state !== "foreign") {
      problem = await verifyCopy(cache, copy, interrupts.signal).then(() => undefined, (error: Error) => error.message);
      interrupts.signal.throwIfAborted();
    }
    problems[key] = problem;
    const name = `${key.slice(0, SHORT)}  ${copy?.manifest.source.name ?? "?"}`;
    if (!json) {
      console.log(`${name}: ${problem ?? (state === "foreign" ? `not looked at: ${why}` : "is as it was made")}`);
    }
  }
  if (json) {
    console.log(JSON.stringify(found.map((entry) => ({ ...report(entry), problem: problems[entry.key] })), null, 2));
  }
  return unknown.length > 0 || Object.values(problems).some((problem) => problem !== undefined) ? 1 : 0;
}

/** Removes copies. @returns the exit code: 1 when one is not there */
export async function removeCopies(names: readonly string[], { dir, json }: Options): Promise<number> {
  using interrupts = new Interrupts();
  const cache = WeightsCache.locate(dir), { found, unknown } = select(cache, inventory(cache, undefined), names);
  tellUnknown(unknown);
  for (const { key, copy } of found) {
    const bytes = await removeCopy(cache, key, interrupts.signal);
    if (!json) {
      console.log(`Removed ${key.slice(0, SHORT)}  ${copy?.manifest.source.name ?? "?"}, ${formatBytes(bytes)}`);
    }
  }
  if (json) console.log(JSON.stringify(found.map(report), null, 2));
  return unknown.length > 0 ? 1 : 0;
}

/** Cleans up. @returns the exit code, 0 */
export async function collectCopies(
  { dir, json, maxAge, maxSize }: Options & { readonly maxAge: number; readonly maxSize: number },
): Promise<number> {
  const cache = WeightsCache.locate(dir), removed = await collect(cache, { maxAgeMs: maxAge, maxBytes: maxSize });
  if (json) console.log(JSON.stringify(removed.map(report), null, 2));
  else {
    const bytes = removed.reduce((sum, { byteLength }) => sum + byteLength, 0);
    console.log(`Removed ${removed.length} of the copies in ${cache.entries}, ${formatBytes(bytes)}`);
  }
  return 0;
}
