import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { LibraryError } from "../../src/errors.ts";
import { Python } from "../../src/python/mod.ts";
import { onBun } from "../cli/spawn.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { runChild } from "../support/child.ts";

const SCRIPT = new URL("./children/start.ts", import.meta.url);
const { status, error } = spawnSync("python3", ["--version"]);
const skip = status === 0 ? false : `there is no python3: ${error?.message}`;

/** What a child that has found its Python by the environment says. */
async function ask(action: string, env: Record<string, string>, ...args: string[]): Promise<unknown> {
  const { COLOAD_PYTHON: _, VIRTUAL_ENV: __, CONDA_PREFIX: ___, ...rest } = process.env as Record<string, string>;
  const { code, stdout, stderr } = await runChild(SCRIPT, [action, ...args], { env: { ...rest, ...env } });
  assert.equal(code, 0, stderr || stdout);
  return JSON.parse(stdout);
}

/** Opens an interpreter that says something of itself. Nothing is started where it is refused. */
function refused(says: Record<string, unknown>): LibraryError {
  using folder = new TemporaryFolder();
  const interpreter = folder.join("python");
  writeFileSync(interpreter, `#!/bin/sh\ncat <<'END'\n${JSON.stringify({ executable: interpreter, ...says })}\nEND\n`);
  chmodSync(interpreter, 0o755);
  return refusal({ executable: interpreter });
}

function refusal(options: { executable?: string; library?: string }): LibraryError {
  try {
    Python.open(options);
  } catch (error) {
    assert.ok(error instanceof LibraryError, String(error));
    return error;
  }
  throw new Error("it was opened");
}

describe("Python that cannot be started", () => {
  it("is not there: the error names all that was tried, and what mends it", async () => {
    const said = await ask("open", { PATH: "/nonexistent", VIRTUAL_ENV: "/no/environment" }) as string;
    assert.match(said, /^LibraryError LIBRARY_NOT_FOUND: Cannot start Python: there is none that can be loaded\n/);
    for (
      const part of [
        "  - option executable: not given",
        "  - environment variable COLOAD_PYTHON: not set",
        "  - virtual environment of VIRTUAL_ENV (/no/environment/bin/python): no such program",
        "  - environment of CONDA_PREFIX: not set",
        "  - python3 on PATH (python3): no such program",
        "Name one: COLOAD_PYTHON=/path/to/python",
      ]
    ) assert.ok(said.includes(part), said);
  });

  it("is not where it was said to be", async () => {
    const error = refusal({ executable: "/no/such/python" });
    assert.deepEqual([error.code, error.message], [
      "LIBRARY_NOT_FOUND",
      "Cannot start the Python that the option executable names, /no/such/python: no such program",
    ]);
    const said = await ask("open", { COLOAD_PYTHON: "/no/such/python" }) as string;
    assert.match(said, /that the environment variable COLOAD_PYTHON names, \/no\/such\/python: no such program/);
  });

  it("is no Python", () => {
    assert.match(refusal({ executable: "/bin/echo" }).message, /\/bin\/echo: it is no Python: it says "-S -c/);
    assert.match(refusal({ executable: "/bin/false" }).message, /\/bin\/false: it ended with 1/);
  });

  it("is too old", () => {
    const error = refused({ version: [3, 7, 16] });
    assert.equal(error.code, "LIBRARY_TOO_OLD");
    assert.match(error.message, /it is Python 3\.7\.16: 3\.9 or later wanted/);
  });

  it("is linked statically", () => {
    const error = refused({
      version: [3, 12, 1],
      prefix: "/opt/static",
      LIBDIR: "/opt/static/lib",
      INSTSONAME: "libpython3.12.a",
    });
    assert.equal(error.code, "LIBRARY_NOT_FOUND");
    assert.match(
      error.message,
      /linked statically \(built without --enable-shared\): none of \/opt\/static\/lib\/libpython3\.12\.so\.1\.0/,
    );
  });

  it("is free-threaded", () => {
    assert.match(refused({ version: [3, 13, 0], Py_GIL_DISABLED: 1 }).message, /free-threaded/);
  });

  it("is given another one's library, or none", { skip }, () => {
    using folder = new TemporaryFolder();
    const [other, none] = [folder.join("libpython2.9.so"), folder.join("libpython.so")];
    writeFileSync(other, "");
    writeFileSync(none, "no library");
    assert.match(refusal({ executable: "python3", library: other }).message, /and the library given for it is 2\.9's/);
    assert.equal(refusal({ executable: "python3", library: none }).code, "LIBRARY_INVALID");
    assert.match(refusal({ executable: "python3", library: "/no/such.so" }).message, /no such/);
  });

  it("may not be asked", { skip: onBun && "Bun has no permissions" }, async () => {
    const permissions = ["--allow-ffi", "--allow-read", "--allow-env", "--allow-sys"];
    const { stdout } = await runChild(SCRIPT, ["open"], { permissions });
    assert.match(stdout, /python3 on PATH \(python3\): needs --allow-run/);
  });
});

describe("Python that is started", { skip }, () => {
  let folder: string;
  let home: TemporaryFolder;

  before(() => {
    home = new TemporaryFolder();
    folder = home.join("environment");
    assert.equal(spawnSync("python3", ["-m", "venv", "--without-pip", folder]).status, 0);
  });

  after(() => home[Symbol.dispose]());

  it("is that of the virtual environment that the program is in, or is told", async () => {
    assert.equal(await ask("where", { VIRTUAL_ENV: folder }), folder);
    assert.equal(await ask("where", { COLOAD_PYTHON: folder }), folder);
    assert.equal(await ask("where", { COLOAD_PYTHON: path.relative(process.cwd(), folder) }), folder);
  });

  it("is the only one of the process", async () => {
    const said = await ask("others", {}, folder) as string;
    assert.match(
      said,
      /^TypeError ALREADY_CONFIGURED: Cannot start Python .* runs in this process already, which can have one/,
    );
  });

  it("says what is missing, where it has no NumPy and no torch", async () => {
    const said = await ask("missing", { COLOAD_PYTHON: folder }) as string[];
    const missing = (name: string, to: string) =>
      `LibraryError LIBRARY_NOT_FOUND: Cannot give tensor to ${to}: this Python has no ${name} ` +
      `(python -m pip install ${name} gets it)`;
    assert.deepEqual(said.slice(0, 2), [missing("numpy", "NumPy"), missing("torch", "torch")]);
    assert.match(said[2]!, /^TypeError INVALID_ARGUMENT: .*<class 'array.array'> found/);
  });

  it("prints at once, and does not keep a program from ending", async () => {
    const printed = await runChild(SCRIPT, ["prints"]);
    assert.deepEqual([printed.code, printed.stdout], [0, "one\ntwo"], printed.stderr);
    const ended = await runChild(SCRIPT, ["ends"]);
    assert.deepEqual([ended.code, ended.stdout], [7, "END\n"], ended.stderr);
  });

  it("lends and borrows where the system forbids executable memory, as far as that goes", async () => {
    const [size, said] = await ask("bare", { COLOAD_PYTHON: folder, COLOAD_NO_EXECUTABLE_MEMORY: "1" }) as [
      number,
      string,
    ];
    assert.equal(size, 4);
    assert.match(said, /^TypeError UNSUPPORTED: Cannot give tensor to NumPy: .* executable memory is forbidden/);
  });
});
