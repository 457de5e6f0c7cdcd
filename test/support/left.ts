import assert from "node:assert/strict";
import { liveHandles } from "../../src/handle.ts";

/** What is not released, but for buffers that were transferred, which never will be. */
export function left(): Readonly<Record<string, number>> {
  const { "abandoned tensor": _, ...left } = liveHandles();
  return left;
}

/** For `afterEach`: fails when the test has not released what it made in native memory. */
export function nothingLeft(): void {
  assert.deepEqual(left(), {});
}
