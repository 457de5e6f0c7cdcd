/**
 * Where an onnxruntime may lie. Nothing here asks a module resolver except Deno's: Bun's would answer for a package
 * that is nowhere by downloading it.
 *
 * @module
 */
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { cacheDirectory, homeDirectory, installDirectory, userCacheDirectory, variable } from "./cache_directory.ts";
import { ffi } from "./mod.ts";

const newestFirst = new Intl.Collator("en", { numeric: true });

/** The names in a directory that match, newest version first; none where it cannot be read. */
function entries(directory: string, pattern: RegExp): string[] {
  try {
    return fs.readdirSync(directory).filter((name) => pattern.test(name)).sort((a, b) => newestFirst.compare(b, a));
  } catch {
    return [];
  }
}

const RELEASE = /^\d+\.\d+\.\d+$/;

/** Folders that `coload install` filled. */
export function* installed(cacheDir?: string): Generator<string> {
  const cache = cacheDirectory(cacheDir);
  if (cache === undefined) return;
  const versions = entries(path.join(cache, "onnxruntime"), RELEASE);
  if (versions.length === 0) yield path.join(cache, "onnxruntime");
  for (const version of versions) yield installDirectory(cache, version);
}

/** The folders of an unpacked `onnxruntime-node` that are for this machine. */
function* librariesOf(onnxruntimeNode: string): Generator<string> {
  const bin = path.join(onnxruntimeNode, "bin");
  const versions = entries(bin, /^napi-v\d+$/);
  if (versions.length === 0) yield onnxruntimeNode;
  for (const version of versions) yield path.join(bin, version, process.platform, process.arch);
}

/** The folders above a file or folder, itself first. */
function* above(directory: string): Generator<string> {
  for (let at = directory;; at = path.dirname(at)) {
    yield at;
    if (path.dirname(at) === at) return;
  }
}

/** A package in the `node_modules` of the working directory, of the program and of Coload itself. */
function* inNodeModules(name: string): Generator<string> {
  const program = process.argv[1];
  const bases = [process.cwd()];
  if (program !== undefined && path.isAbsolute(program)) bases.push(path.dirname(program));
  if (import.meta.url.startsWith("file:")) bases.push(path.dirname(fileURLToPath(import.meta.url)));
  const folders = new Set(bases.flatMap((base) => [...above(base)]));
  for (const folder of folders) {
    if (path.basename(folder) !== "node_modules") yield path.join(folder, "node_modules", name);
  }
}

/** A package beside one that depends on it, where an installer keeps packages apart. */
function* besideDependents(name: string, dependents: readonly string[]): Generator<string> {
  for (const directory of dependents.flatMap((dependent) => [...inNodeModules(dependent)])) {
    let real: string;
    try {
      real = fs.realpathSync(directory);
    } catch {
      continue;
    }
    for (const folder of above(real)) {
      if (path.basename(folder) === "node_modules") yield path.join(folder, name);
    }
  }
}

/** Folders of `npm:onnxruntime-node`, as this program or one of its packages depends on it. */
export function* npmPackage(): Generator<string> {
  const name = "onnxruntime-node";
  for (const directory of inNodeModules(name)) yield* librariesOf(directory);
  const resolved = ffi.runtime.startsWith("deno") ? ffi.resolve(`${name}/package.json`) : undefined;
  if (resolved !== undefined) yield* librariesOf(path.dirname(fileURLToPath(resolved)));
  for (const directory of besideDependents(name, ["@huggingface/transformers"])) yield* librariesOf(directory);
}

/** Folders of `npm:onnxruntime-node` in what Deno has downloaded, whatever the registry is called. */
export function* denoCache(): Generator<string> {
  const cache = userCacheDirectory();
  const root = variable("DENO_DIR") ?? (cache && path.join(cache, "deno"));
  if (root === undefined) return;
  const registries = entries(path.join(root, "npm"), /./).map((registry) => path.join(root, "npm", registry));
  const versions = registries.flatMap((registry) =>
    entries(path.join(registry, "onnxruntime-node"), RELEASE).map((v) => path.join(registry, "onnxruntime-node", v))
  );
  if (versions.length === 0) yield path.join(root, "npm", "*", "onnxruntime-node");
  for (const version of versions) yield* librariesOf(version);
}

/** Folders of `npm:onnxruntime-node` in what Bun has downloaded. */
export function* bunCache(): Generator<string> {
  const home = homeDirectory();
  const bun = variable("BUN_INSTALL") ?? (home && path.join(home, ".bun"));
  const root = variable("BUN_INSTALL_CACHE_DIR") ?? (bun && path.join(bun, "install", "cache"));
  if (root === undefined) return;
  const versions = entries(root, /^onnxruntime-node@\d+\.\d+\.\d+(@|$)/);
  if (versions.length === 0) yield path.join(root, "onnxruntime-node@*");
  for (const version of versions) yield* librariesOf(path.join(root, version));
}

/** The npm package of sherpa-onnx for this machine. */
export function* sherpaPackage(): Generator<string> {
  const name = `sherpa-onnx-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  yield* inNodeModules(name);
  yield* besideDependents(name, ["sherpa-onnx-node"]);
}

/** The Python package `onnxruntime`, in the active environment or the system's. */
export function* pythonPackage(): Generator<string> {
  const home = homeDirectory();
  const prefixes = [variable("VIRTUAL_ENV"), variable("CONDA_PREFIX"), home && path.join(home, ".local")];
  for (const prefix of [...prefixes, "/usr/local", "/usr"]) {
    if (prefix === undefined) continue;
    for (const python of entries(path.join(prefix, "lib"), /^python3/)) {
      for (const packages of ["site-packages", "dist-packages"]) {
        yield path.join(prefix, "lib", python, packages, "onnxruntime", "capi");
      }
    }
  }
}

/** The folders that the system's loader searches. */
export function* systemDirectories(): Generator<string> {
  const given = variable(process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH");
  const usual = process.platform === "darwin"
    ? ["/opt/homebrew/lib", "/usr/local/lib"]
    : ["/usr/local/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
  if (process.platform === "win32") return;
  const configured = entries("/etc/ld.so.conf.d", /\.conf$/).flatMap((name) =>
    directoriesIn(`/etc/ld.so.conf.d/${name}`)
  );
  yield* new Set([...(given?.split(":") ?? []).filter(Boolean), ...configured, ...usual]);
}

function directoriesIn(configuration: string): string[] {
  try {
    return fs.readFileSync(configuration, "utf8").split("\n").map((line) => line.trim()).filter(path.isAbsolute);
  } catch {
    return [];
  }
}
