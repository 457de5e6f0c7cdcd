import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runChild } from "../support/child.ts";

const SCRIPT = new URL("./children/many_runs.ts", import.meta.url);
/** What 10,000 results of 64 KiB would take if none of them went. */
const ALL_KIB = 640 * 1024;

async function grownKiB(...args: string[]): Promise<number> {
  const { code, stdout, stderr } = await runChild(SCRIPT, args);
  assert.equal(code, 0, stderr);
  return Number(/grown by (-?\d+) KiB/.exec(stdout)![1]);
}

describe("10,000 runs without a dispose", () => {
  for (const how of ["sync", "async"]) {
    for (const shape of ["fixed", "dynamic"]) {
      it(`do not add up: ${how}, ${shape} shape`, async () => {
        assert.ok(await grownKiB(how, shape) < ALL_KIB / 3);
      });
    }
  }

  it("would, were they kept", async () => {
    assert.ok(await grownKiB("leak") > ALL_KIB * 0.9);
  });
});
