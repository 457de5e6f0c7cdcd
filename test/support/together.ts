import { after, before, it } from "node:test";
import { nothingLeft } from "./left.ts";

/** Tests that mostly wait: they begin at once, and each is told by itself. For within a `describe`, which leaves nothing. */
export function together(tests: Readonly<Record<string, () => Promise<void>>>): void {
  const begun = new Map<string, Promise<void>>();
  before(() => {
    for (const [name, test] of Object.entries(tests)) {
      const result = test();
      result.catch(() => {}); // its test tells of it
      begun.set(name, result);
    }
  });
  for (const name of Object.keys(tests)) it(name, () => begun.get(name));
  after(nothingLeft);
}
