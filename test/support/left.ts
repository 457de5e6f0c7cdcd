import assert from "node:assert/strict";
import { liveHandles } from "../../src/handle.ts";

/** For `afterEach`: fails when the test has not released what it made in native memory. */
export function nothingLeft(): void {
  assert.deepEqual(liveHandles(), {});
}
