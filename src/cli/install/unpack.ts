import { readdir } from "node:fs/promises";
import process from "node:process";
import { extract } from "tar";

/**
 * Unpacks this machine's libraries from a tarball of onnxruntime-node into a folder.
 *
 * @throws {Error} when the package has none for it.
 */
export async function unpack(tarball: string, directory: string): Promise<void> {
  const platform = `${process.platform}/${process.arch}`;
  const wanted = new RegExp(`^package/bin/napi-v\\d+/${platform}/[^/]+\\.(dll|dylib|so(\\.\\d+)*)$`);
  await extract({
    file: tarball,
    cwd: directory,
    strip: 5, // package/bin/napi-v6/linux/x64/
    strict: true,
    filter: (path, entry) => wanted.test(path) && "type" in entry && entry.type === "File",
  });
  if ((await readdir(directory)).length === 0) throw new Error(`the package has no library for ${platform}`);
}
