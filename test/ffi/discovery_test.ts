import assert from "node:assert/strict";
import { cpSync, existsSync, symlinkSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import path from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { pythonPackage, systemDirectories } from "../../ffi/library_places.ts";
import { onBun, runScript } from "../cli/spawn.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const LIBRARY = process.platform === "darwin" ? "libonnxruntime.1.dylib" : "libonnxruntime.so.1";
const IN_PACKAGE = `bin/napi-v6/${process.platform}/${process.arch}/${LIBRARY}`;
const SHERPA = `sherpa-onnx-${process.platform}-${process.arch}`;
const INSTALLED = path.join(REPOSITORY, "node_modules/onnxruntime-node");
const uninstalled = !existsSync(INSTALLED);
const elsewhere = [...systemDirectories(), ...pythonPackage()].some((at) => existsSync(path.join(at, LIBRARY)));

/** A copy of Coload, in a folder without packages, as another project's dependency would lie. */
function copied(folder: TemporaryFolder): Promise<string> {
  for (const part of ["ffi", "src", "mod.ts"]) {
    cpSync(path.join(REPOSITORY, part), folder.join("coload", part), { recursive: true });
  }
  return Promise.resolve(pathToFileURL(folder.join("coload")).href);
}

/** The sources, served as a package registry serves them to Deno. */
class SourceServer {
  readonly #server: Server = createServer(async (request, response) => {
    const source = await readFile(path.join(REPOSITORY, request.url!)).catch(() => undefined);
    response.writeHead(source === undefined ? 404 : 200, { "content-type": "application/typescript" });
    response.end(source);
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): Promise<unknown> {
    return new Promise((resolve) => this.#server.close(resolve));
  }
}

const server = new SourceServer();
let served: string;

const ORIGINS = {
  "Coload in a folder": { origin: copied, skip: false as const },
  "Coload from a remote URL": {
    origin: () => Promise.resolve(served),
    skip: onBun && "Bun imports no remote modules",
  },
};

interface Result {
  path?: string;
  how?: string;
  version?: string;
  code?: string;
  message?: string;
}

for (const [name, { origin, skip }] of Object.entries(ORIGINS)) {
  describe(`finding onnxruntime for ${name}`, { skip }, () => {
    let folder: TemporaryFolder;

    before(async () => void (served = await server.start()));
    after(() => server.stop());
    beforeEach(() => void (folder = new TemporaryFolder()));
    afterEach(() => folder[Symbol.dispose]());

    function find(cwd: string, permissions?: string[], env?: Record<string, string>): Promise<Result> {
      return run("src/ort/locate.ts", "locateOnnxRuntime()", cwd, permissions, env);
    }

    /** What a program that imports from Coload makes of an expression. */
    async function run(
      module: string,
      expression: string,
      cwd: string,
      permissions?: string[],
      env: Record<string, string> = {},
    ): Promise<Result> {
      const program = folder.write(
        "project/main.ts",
        `import { ${expression.match(/\w+(?=\()/)![0]} } from ${JSON.stringify(`${await origin(folder)}/${module}`)};
        try {
          console.log(JSON.stringify(${expression}));
        } catch (error) {
          console.log(JSON.stringify({ code: error.code, message: error.message }));
        }`,
      );
      const { stdout, stderr } = await runScript(program, [], {
        cwd: folder.join(cwd),
        env: { PATH: process.env.PATH!, HOME: folder.join("home"), ...env },
        ...(permissions && { permissions }),
      });
      assert.notEqual(stdout, "", stderr);
      return JSON.parse(stdout);
    }

    it("finds the project's onnxruntime-node from a folder below the project", async () => {
      const path = folder.write(`project/node_modules/onnxruntime-node/${IN_PACKAGE}`);
      folder.write("project/deep/down/file");
      assert.deepEqual(await find("project/deep/down"), { path, how: "npm:onnxruntime-node" });
    });

    it("opens what it finds", { skip: uninstalled && "onnxruntime-node is not installed" }, async () => {
      folder.write("project/node_modules/.keep");
      symlinkSync(INSTALLED, folder.join("project/node_modules/onnxruntime-node"));
      const { how, version } = await run("mod.ts", "(await capabilities()).library", "project");
      assert.deepEqual({ how, version }, { how: "npm:onnxruntime-node", version: "1.30.0" });
    });

    it("finds the program's onnxruntime-node from a working directory elsewhere", async () => {
      const path = folder.write(`project/node_modules/onnxruntime-node/${IN_PACKAGE}`);
      assert.equal((await find(".")).path, path);
    });

    it("finds a package that only another one depends on", async () => {
      const store = `project/node_modules/.store/sherpa-onnx-node@1/node_modules`;
      const path = folder.write(`${store}/${SHERPA}/${LIBRARY}`);
      folder.write(`${store}/sherpa-onnx-node/package.json`, "{}");
      symlinkSync(folder.join(store, "sherpa-onnx-node"), folder.join("project/node_modules/sherpa-onnx-node"));
      assert.deepEqual(await find("project"), { path, how: "npm:sherpa-onnx" });
    });

    it("finds what the runtimes have downloaded, newest first, whatever the registry is called", async () => {
      folder.write(`deno/npm/some.registry/onnxruntime-node/1.9.0/${IN_PACKAGE}`);
      const path = folder.write(`deno/npm/some.registry/onnxruntime-node/1.30.0/${IN_PACKAGE}`);
      const bun = folder.write(`bun/install/cache/onnxruntime-node@1.30.0@@@1/${IN_PACKAGE}`);
      const both = { DENO_DIR: folder.join("deno"), BUN_INSTALL: folder.join("bun") };
      folder.write("project/file");
      assert.deepEqual(await find("project", undefined, both), { path, how: "npm:onnxruntime-node in Deno's cache" });
      const { BUN_INSTALL } = both;
      assert.deepEqual(await find("project", undefined, { BUN_INSTALL }), {
        path: bun,
        how: "npm:onnxruntime-node in Bun's cache",
      });
    });

    it("lists all that it tried, and what mends it", { skip: elsewhere && "this machine has one" }, async () => {
      folder.write("project/file");
      const { code, message = "" } = await find("project");
      assert.equal(code, "LIBRARY_NOT_FOUND");
      for (
        const part of [
          "environment variable COLOAD_ONNXRUNTIME: not set",
          folder.join("home"),
          folder.join("project/node_modules/onnxruntime-node"),
          folder.join(`project/node_modules/${SHERPA}`),
          "system:",
          "main.ts install",
          "COLOAD_ONNXRUNTIME=/path/to/the/library",
        ]
      ) assert.ok(message.includes(part), `${part} is not in:\n${message}`);
    });

    it("downloads nothing by itself", { skip: elsewhere && "this machine has one" }, async () => {
      folder.write("project/file");
      await find("project");
      assert.ok(!existsSync(folder.join("home/.bun/install/cache/onnxruntime-node")));
      assert.ok(!existsSync(folder.join("home/.cache/coload")));
    });

    it("names the permissions that it lacks", { skip: onBun && "Bun has no permissions" }, async () => {
      folder.write("project/file");
      const importing = [`--allow-import=127.0.0.1`];
      const { code, message = "" } = await find("project", importing);
      assert.equal(code, "LIBRARY_NOT_FOUND");
      assert.match(message, /COLOAD_ONNXRUNTIME: needs --allow-env/);
      assert.match(message, /npm:onnxruntime-node: needs --allow-read/);
      assert.match(message, /Let Deno look in all of them: --allow-env --allow-read\n/);
      const path = folder.write(`project/node_modules/onnxruntime-node/${IN_PACKAGE}`);
      const some = [...importing, `--allow-read=${folder.join("project")}`];
      assert.equal((await find("project", some)).path, path);
    });
  });
}
