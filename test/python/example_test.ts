import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { decode } from "fast-png";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { runChild } from "../support/child.ts";
import { numpy1 } from "./environments.ts";

const EXAMPLE = new URL("../../demo/python.ts", import.meta.url);
const found = await numpy1(), skip = "reason" in found && found.reason;

describe("the example of Python", () => {
  it("hears where somebody speaks, and draws it", { skip }, async () => {
    assert.ok("python" in found);
    using folder = new TemporaryFolder();
    const picture = folder.join("speech.png"),
      sound = new URL("../../demo/assets/speech.wav", import.meta.url).pathname;
    const env = { ...process.env as Record<string, string>, COLOAD_PYTHON: found.python, MPLCONFIGDIR: folder.path };
    const { code, stdout, stderr } = await runChild(EXAMPLE, [sound, picture], { env });
    assert.equal(code, 0, stderr);
    const [, heard, all] = /^speech in (\d+) of (\d+) frames/.exec(stdout)!;
    assert.ok(Number(heard) > 200 && Number(heard) < 290 && Number(all) === 326, stdout); // 8.1 of 10.4 s
    const { width, height } = decode(readFileSync(picture));
    assert.deepEqual([width, height], [1200, 720]);
  });
});
