import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { onBun } from "./cli/spawn.ts";
import { runChild } from "./support/child.ts";
import { ROOT, type SourceFile, sourceFiles } from "./support/imports.ts";

/** Rooms and files from the lowest to the highest: each may import what stands on a line above its own. */
const LAYERS: readonly (readonly string[])[] = [
  ["ffi"],
  ["src/errors.ts", "src/handle.ts"],
  ["src/memory"],
  ["src/tensor"],
  ["src/ort"],
  ["src/weights"],
  ["src/session"],
  ["src/registry", "src/protocol"],
  ["src/worker", "src/client", "src/python", "mod.ts"],
  ["src/cli"],
];
const ADAPTERS = ["ffi/deno.ts", "ffi/bun.ts"];

const files = sourceFiles("mod.ts", "ffi", "src");
const rooms = LAYERS.flat();
const roomOf = (name: string): string | undefined => rooms.find((room) => name === room || name.startsWith(`${room}/`));
const levelOf = (name: string): number => LAYERS.findIndex((layer) => layer.includes(roomOf(name)!));
const inHouse = (target: string): boolean => target.endsWith(".ts");

function faults(find: (file: SourceFile) => readonly string[]): string[] {
  return files.flatMap((file) => find(file).map((fault) => `${file.name}: ${fault}`));
}

/** A way from the file back to itself by imports that are there at run time. */
function cycleFrom(start: SourceFile): string[] {
  const byName = new Map(files.map((file) => [file.name, file])), seen = new Set<string>();
  const search = (file: SourceFile, way: string[]): string[] => {
    for (const { target, typeOnly } of file.imports) {
      if (typeOnly || !inHouse(target)) continue;
      if (target === start.name) return [...way, target];
      if (seen.has(target)) continue;
      seen.add(target);
      const found = search(byName.get(target)!, [...way, target]);
      if (found.length > 0) return found;
    }
    return [];
  };
  return search(start, [start.name]);
}

describe("imports", () => {
  it("are found", () => {
    assert.ok(files.length > 60 && files.every(({ imports }) => imports.length < 40));
    const main = files.find(({ name }) => name === "src/session/binding.ts")!;
    assert.ok(main.imports.some(({ target, typeOnly }) => target === "ffi/mod.ts" && !typeOnly));
    assert.ok(main.imports.some(({ target, typeOnly }) => target === "src/tensor/tensor.ts" && typeOnly));
  });

  it("come from rooms that there are", () => {
    assert.deepEqual(files.map(({ name }) => name).filter((name) => roomOf(name) === undefined), []);
  });

  it("run one way", () => {
    const upward = ({ name, imports }: SourceFile): string[] =>
      imports.map(({ target }) => target).filter((target) =>
        inHouse(target) && roomOf(target) !== roomOf(name) && levelOf(target) >= levelOf(name)
      );
    assert.deepEqual(faults(upward), []);
  });

  it("lead to files that are there, and make no circle of files", () => {
    const names = new Set(files.map(({ name }) => name));
    assert.deepEqual(
      faults(({ imports }) => imports.map(({ target }) => target).filter((t) => inHouse(t) && !names.has(t))),
      [],
    );
    assert.deepEqual(files.map(cycleFrom).filter((way) => way.length > 0).map((way) => way.join(" -> ")), []);
  });

  it("of others' code are bare names of deno.json, or built into both runtimes", () => {
    const known = Object.keys(JSON.parse(readFileSync(path.join(ROOT, "deno.json"), "utf8")).imports);
    const foreign = ({ name, imports }: SourceFile): string[] =>
      imports.map(({ target }) => target).filter((target) =>
        !inHouse(target) && !target.startsWith("node:") && !known.includes(target) &&
        !(name === "ffi/bun.ts" && target === "bun:ffi")
      );
    assert.deepEqual(faults(foreign), []);
  });
});

describe("a runtime's own names", () => {
  it("stand in its adapter only", () => {
    const own = ({ name, code }: SourceFile): string[] =>
      ADAPTERS.includes(name) ? [] : [...code.matchAll(/\b(?:Deno|Bun)\.\w+|"bun:\w+"/g)].map(String);
    assert.deepEqual(faults(own), []);
  });
});

describe("importing the module", () => {
  const script = new URL("./support/only_import.ts", import.meta.url);

  it("opens no library", async () => {
    const { code, stdout, stderr } = await runChild(script, ["maps"]);
    assert.deepEqual([code, stdout], [0, "0 mappings of onnxruntime\nEND\n"], stderr);
  });

  it("needs no permission", { skip: onBun && "Bun has none" }, async () => {
    const { code, stdout, stderr } = await runChild(script, [], { permissions: [] });
    assert.deepEqual([code, stdout], [0, "END\n"], stderr);
  });
});
