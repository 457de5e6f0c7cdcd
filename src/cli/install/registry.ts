import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Where the user's npm packages come from: what the environment says, or npm, or else the running runtime, each with
 * its own configuration for the working directory.
 *
 * @throws {Error} when none of them tells.
 */
export async function registryUrl(): Promise<URL> {
  const failures: string[] = [];
  for (const [source, ask] of Object.entries(SOURCES)) {
    try {
      const registry = await ask();
      if (registry) return new URL(registry.endsWith("/") ? registry : `${registry}/`);
    } catch (error) {
      failures.push(`${source}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  throw new Error(`nothing tells which npm registry to fetch from; set npm_config_registry (${failures.join("; ")})`);
}

const SOURCES: Readonly<Record<string, () => Promise<string | undefined>>> = {
  environment: () => Promise.resolve(process.env.npm_config_registry || process.env.NPM_CONFIG_REGISTRY),
  npm: async () => (await run("npm", ["config", "get", "registry"])).stdout.trim(),
  runtime: () => "Bun" in globalThis ? fromBun() : fromDeno(),
};

/** A package so small that a runtime may fetch it to tell from where. */
const PROBE = "picocolors";

async function fromDeno(): Promise<string | undefined> {
  const { stdout } = await run(process.execPath, ["info", "--json", `npm:${PROBE}`]);
  const packages = Object.values(JSON.parse(stdout).npmPackages) as { name: string; registryUrl: string }[];
  return packages.find(({ name }) => name === PROBE)?.registryUrl;
}

async function fromBun(): Promise<string | undefined> {
  const { stdout } = await run(process.execPath, ["info", PROBE, "dist.tarball"]);
  return stdout.trim().split(`${PROBE}/-/`)[0];
}
