import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/**
 * Starts a script of Coload's own as a process of the same runtime.
 *
 * @param name without its extension, which is that of who starts it: packages are published as TypeScript and not
 * @param base `import.meta.url` of who starts it
 */
export function startScript(name: string, base: string, stdio: StdioOptions): ChildProcess {
  const { pathname } = new URL(base), script = new URL(name + pathname.slice(pathname.lastIndexOf(".")), base);
  const runtime = "Bun" in globalThis ? ["run"] : ["run", "-A", "--no-prompt"];
  const path = script.protocol === "file:" ? fileURLToPath(script) : script.href;
  return spawn(process.execPath, [...runtime, path], { stdio });
}
