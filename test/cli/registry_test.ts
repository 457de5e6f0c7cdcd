import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { runScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const REGISTRY = new URL("../../src/cli/install/registry.ts", import.meta.url).href;
const npm = spawnSync("npm", ["config", "get", "registry"], { encoding: "utf8" });
const noNpm = npm.status !== 0 && "npm is not on the PATH";

async function registry(env: Record<string, string>): Promise<string> {
  using folder = new TemporaryFolder();
  const program = folder.write(
    "main.ts",
    `import { registryUrl } from ${JSON.stringify(REGISTRY)};\nconsole.log((await registryUrl()).href);`,
  );
  const { npm_config_registry: _, NPM_CONFIG_REGISTRY: __, ...rest } = process.env as Record<string, string>;
  const { stdout, stderr } = await runScript(program, [], { cwd: folder.path, env: { ...rest, ...env } });
  assert.notEqual(stdout, "", stderr);
  return stdout.trim();
}

describe("registryUrl", () => {
  it("takes the environment's word", async () => {
    assert.equal(await registry({ npm_config_registry: "http://127.0.0.1:9/npm" }), "http://127.0.0.1:9/npm/");
  });

  it("asks npm", { skip: noNpm }, async () => {
    assert.equal(await registry({}), npm.stdout.trim());
  });

  it("asks the runtime where there is no npm", { skip: noNpm, timeout: 60_000 }, async () => {
    using empty = new TemporaryFolder();
    assert.equal(await registry({ PATH: empty.path }), npm.stdout.trim());
  });
});
