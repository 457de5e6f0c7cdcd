import path from "node:path";
import process from "node:process";

/** An environment variable; `undefined` when unset or empty. On Deno it throws where `--allow-env` is missing. */
export function variable(name: string): string | undefined {
  return process.env[name] || undefined;
}

/** The user's home, as the environment has it: asking the system would need one more permission on Deno. */
export function homeDirectory(): string | undefined {
  return variable(process.platform === "win32" ? "USERPROFILE" : "HOME");
}

/** Where programs keep the user's caches; `undefined` when the environment does not tell. */
export function userCacheDirectory(): string | undefined {
  if (process.platform === "win32") return variable("LOCALAPPDATA");
  const home = homeDirectory();
  if (process.platform === "darwin") return home && path.join(home, "Library", "Caches");
  const cache = variable("XDG_CACHE_HOME"); // to be ignored unless absolute, says the XDG specification
  return cache && path.isAbsolute(cache) ? cache : home && path.join(home, ".cache");
}

/** Coload's own cache: `cacheDir` if given, else a folder in the user's. */
export function cacheDirectory(cacheDir?: string): string | undefined {
  if (cacheDir !== undefined) return path.resolve(cacheDir);
  const parent = userCacheDirectory();
  return parent && path.join(parent, "coload");
}

/** Where an installed onnxruntime lies in Coload's cache: below its version, for this machine. */
export function installDirectory(cache: string, version: string): string {
  return path.join(cache, "onnxruntime", version, `${process.platform}-${process.arch}`);
}
