import assert from "node:assert/strict";
import { liveHandles } from "../../src/handle.ts";

/** For `afterEach`: fails when the test has not released what it made in native memory. */
export function nothingLeft(): void {
  const { "abandoned tensor": _, ...left } = liveHandles(); // of buffers that were transferred: never to be released
  assert.deepEqual(left, {});
}
