import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's folder. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** One import or re-export. */
export interface Import {
  /** What is imported, relative to the repository where it is a file of it. */
  readonly target: string;
  /** Whether it is gone at run time. */
  readonly typeOnly: boolean;
}

/** A file of the source, without its comments. */
export interface SourceFile {
  readonly name: string;
  readonly code: string;
  readonly imports: readonly Import[];
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[^"'`;]*?\sfrom\s+)?"([^"]+)";/gm;
const DYNAMIC = /\bimport\("([^"]+)"\)/g;

function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*\*?[\s\S]*?\*\//gm, "").replace(/(^|\s)\/\/ .*$/gm, "");
}

function importsOf(name: string, code: string): Import[] {
  const target = (specifier: string): string =>
    specifier.startsWith(".") ? path.posix.join(path.posix.dirname(name), specifier) : specifier;
  const written = [...code.matchAll(STATEMENT)].map(([, type, to]) => ({ target: target(to!), typeOnly: !!type }));
  return [...written, ...[...code.matchAll(DYNAMIC)].map(([, to]) => ({ target: target(to!), typeOnly: false }))];
}

/** Every TypeScript file of these files and folders. */
export function sourceFiles(...places: string[]): SourceFile[] {
  const names = places.flatMap((place) =>
    statSync(path.join(ROOT, place)).isFile()
      ? [place]
      : readdirSync(path.join(ROOT, place), { recursive: true }).map((file) => path.posix.join(place, String(file)))
  ).filter((name) => name.endsWith(".ts"));
  return names.map((name) => {
    const code = withoutComments(readFileSync(path.join(ROOT, name), "utf8"));
    return { name, code, imports: importsOf(name, code) };
  });
}
