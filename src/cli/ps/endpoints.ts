import { readdirSync } from "node:fs";
import path from "node:path";
import { socketDirectory, socketPath } from "../../protocol/endpoint.ts";

/** Where workers listen, or did: what is named, and the sockets of the user's own folder. */
export function endpoints(named: readonly string[]): readonly string[] {
  const directory = socketDirectory();
  const found = names(directory).filter((name) => name.endsWith(".sock")).sort().map((name) =>
    path.join(directory, name)
  );
  return [...new Set([...found, ...named.map(socketPath)])];
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return [];
    throw error;
  }
}
