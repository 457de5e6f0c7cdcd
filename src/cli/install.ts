import { Command } from "commander";
import { DownloadBar } from "./progress.ts";
import { installLibrary } from "./install/install_library.ts";
import { DEFAULT_VERSION, PINS } from "./install/pins.ts";
import { Interrupts } from "./interrupts.ts";

interface Flags {
  readonly version: string;
  readonly dir?: string;
  readonly force?: boolean;
}

/** `coload install`: fetches the onnxruntime library into the user's cache. */
export function installCommand(): Command {
  return new Command("install")
    .summary("fetch the onnxruntime library")
    .description(
      "Fetch the onnxruntime library into the user's cache, where Coload finds it. It comes from the npm package " +
        "onnxruntime-node (113 MB), through the registry that npm is configured with, and is checked against a " +
        "digest that is part of Coload.",
    )
    .option("--version <version>", `one of ${Object.keys(PINS).join(", ")}`, DEFAULT_VERSION)
    .option("--dir <folder>", "a cache folder other than the user's")
    .option("--force", "fetch it again though it is there")
    .action(install);
}

async function install({ version, dir, force }: Flags): Promise<void> {
  using interrupts = new Interrupts();
  using bar = new DownloadBar(`onnxruntime ${version}`);
  const { path, fetched } = await installLibrary({
    version,
    cacheDir: dir,
    force,
    signal: interrupts.signal,
    onProgress: (bytes, total) => bar.update(bytes, total),
  });
  bar[Symbol.dispose]();
  console.log(fetched ? `Installed onnxruntime ${version}: ${path}` : `onnxruntime ${version} is installed: ${path}`);
  if (dir !== undefined) console.log(`Use it with COLOAD_ONNXRUNTIME=${path}, or configure({ cacheDir })`);
}
