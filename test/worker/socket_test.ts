import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { ModelWorker } from "../../src/worker/mod.ts";
import { outcome } from "../cli/spawn.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { failure } from "../support/sessions.ts";
import { Helper, unavailable, WorkerProcess } from "./children/helper.ts";
import { writeModels } from "./children/models.ts";

const RUNNING = failure("WorkerError", "WORKER_RUNNING"), PATH = failure("SystemError", "SOCKET_PATH");
const STRANGER = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "env", "PATH=/usr/bin:/bin"];
/** Connects to a socket, and prints what comes. */
const KNOCK = [
  "perl",
  "-MIO::Socket::UNIX",
  "-e",
  '$s = IO::Socket::UNIX->new($ARGV[0]) or die $!; print "[", <$s>, "]"',
];
const notRoot = process.geteuid!() !== 0 && "only root can be another user";

let folder: TemporaryFolder, models: ReturnType<typeof writeModels>;
before(() => {
  folder = new TemporaryFolder();
  models = writeModels(folder, ["add"]);
});
after(() => folder[Symbol.dispose]());

describe("a worker's socket", () => {
  let place: TemporaryFolder, socket: string;
  beforeEach(() => {
    place = new TemporaryFolder();
    socket = place.join("worker.sock");
  });
  afterEach(() => place[Symbol.dispose]());

  const serve = (at: string = socket): Promise<ModelWorker> => ModelWorker.serve({ models, socket: at, executors: 1 });

  it("is its user's alone, and goes with the worker", async () => {
    {
      await using _worker = await serve();
      assert.equal(statSync(socket).mode & 0o777, 0o600);
    }
    assert.deepEqual(readdirSync(place.path), []);
  });

  it("is not taken from a worker that lives, in this process or another", async () => {
    await using worker = await WorkerProcess.start({ models, socket });
    await assert.rejects(serve(), RUNNING);
    await using client = await ModelClient.connect(socket);
    assert.equal((await client.status()).pid, worker.pid);
    assert.deepEqual(await worker.exit(), { code: 0, signal: null, stderr: "" });
    await using own = await serve();
    await assert.rejects(serve(), RUNNING);
    assert.equal(own.status().state, "ready");
  });

  it("is taken over from a worker that was killed", async () => {
    await using killed = await WorkerProcess.start({ models, socket });
    await killed.kill();
    assert.ok(existsSync(socket));
    await assert.rejects(ModelClient.connect(socket), failure("WorkerError", "WORKER_UNAVAILABLE"));
    await using _worker = await serve();
    await using client = await ModelClient.connect(socket);
    assert.equal(await client.health(), true);
  });

  it("goes to one of two that want it at once", async () => {
    for (let round = 0; round < 3; round++) {
      const options = { models, socket, executors: 1 };
      await using one = new Helper("./serve.ts", [options]);
      await using other = new Helper("./serve.ts", [options]);
      const said = await Promise.all([one, other].map((worker) => worker.next<{ serves?: string; code?: string }>()));
      assert.deepEqual(said.map(({ serves, code }) => serves ?? code).sort(), [socket, "WORKER_RUNNING"].sort());
      await using client = await ModelClient.connect(socket);
      assert.equal((await client.status()).pid, said[0]!.serves ? one.pid : other.pid);
    }
  });

  it("stands beside that of another worker", async () => {
    await using _one = await serve();
    await using _other = await serve(place.join("other.sock"));
    for (const path of [socket, place.join("other.sock")]) {
      await using client = await ModelClient.connect(path);
      assert.equal((await client.status()).clients.length, 1);
    }
  });

  it("takes no file's place", async () => {
    place.write("worker.sock", "mine");
    await assert.rejects(serve(), PATH);
    assert.equal(readFileSync(socket, "utf8"), "mine");
    assert.deepEqual(readdirSync(place.path).filter((name) => !name.endsWith(".lock")), ["worker.sock"]);
  });

  it("takes no folder's place", async () => {
    mkdirSync(socket);
    place.write("worker.sock/file", "mine");
    await assert.rejects(serve(), PATH);
    assert.equal(readFileSync(place.join("worker.sock/file"), "utf8"), "mine");
  });

  it("takes no link's place, wherever that leads", async () => {
    for (const target of ["nowhere", place.write("file", "mine"), place.path]) {
      const link = place.join(`link-${target.length}`);
      symlinkSync(target, link);
      await assert.rejects(serve(link), PATH);
      assert.ok(readdirSync(place.path).includes(`link-${target.length}`));
    }
    assert.equal(readFileSync(place.join("file"), "utf8"), "mine");
  });

  it("has a lock that is no link to somebody's file", async () => {
    symlinkSync(place.write("file", "mine"), `${socket}.lock`);
    await assert.rejects(serve(), PATH);
    assert.equal(readFileSync(place.join("file"), "utf8"), "mine");
  });

  it("has a path that is not too long, in a folder that there is", async () => {
    await assert.rejects(serve(place.join("a".repeat(108))), PATH);
    await assert.rejects(serve(place.join("nowhere/worker.sock")), PATH);
    await assert.rejects(serve(place.join("worker.sock") + "/x"), PATH);
  });

  it("is where clients are told that there is none", async () => {
    await assert.rejects(ModelClient.connect(socket), failure("WorkerError", "WORKER_UNAVAILABLE"));
    place.write("worker.sock", "mine");
    await assert.rejects(ModelClient.connect(socket), failure("WorkerError", "WORKER_UNAVAILABLE"));
    await assert.rejects(ModelClient.connect("x".repeat(108)), PATH);
  });

  const skip = notRoot || unavailable([...STRANGER, "perl", "-MIO::Socket::UNIX", "-e1"]);

  it("is refused to other users", { skip }, async () => {
    await using worker = await WorkerProcess.start({ models, socket });
    chmodSync(place.path, 0o777);
    chmodSync(socket, 0o777); // so that it hangs on the worker alone
    assert.equal(await outputOf([...STRANGER, ...KNOCK, socket]), "[]");
    const status = await worker.ask<{ clients: unknown[] }>("status");
    assert.deepEqual(status.clients, []);
  });

  describe("in the folder of the user's workers", () => {
    const { XDG_RUNTIME_DIR: before } = process.env;
    beforeEach(() => {
      process.env.XDG_RUNTIME_DIR = place.path;
    });
    afterEach(() => {
      if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = before;
    });
    const serveThere = (): Promise<ModelWorker> => ModelWorker.serve({ models, executors: 1 });

    it("is found without a path", async () => {
      await using worker = await serveThere();
      assert.equal(worker.endpoints.socket, place.join("coload/worker.sock"));
      assert.equal(statSync(place.join("coload")).mode & 0o777, 0o700);
      await using client = await ModelClient.connect();
      assert.equal(await client.health(), true);
    });

    it("is refused where others may write", async () => {
      mkdirSync(place.join("coload"));
      for (const mode of [0o770, 0o707, 0o777, 0o750]) {
        chmodSync(place.join("coload"), mode);
        await assert.rejects(serveThere(), PATH);
      }
      assert.deepEqual(readdirSync(place.join("coload")), []);
    });

    it("is refused where the folder is another user's, a file or a link", { skip: notRoot }, async () => {
      mkdirSync(place.join("coload"), { mode: 0o700 });
      chownSync(place.join("coload"), 12345, 12345);
      await assert.rejects(serveThere(), PATH);
      rmSync(place.join("coload"), { recursive: true });
      place.write("coload");
      await assert.rejects(serveThere(), PATH);
      rmSync(place.join("coload"));
      mkdirSync(place.join("real"), { mode: 0o700 });
      symlinkSync(place.join("real"), place.join("coload"));
      await assert.rejects(serveThere(), PATH);
    });
  });
});

async function outputOf([program, ...args]: readonly string[]): Promise<string> {
  const { stdout, stderr } = await outcome(spawn(program!, args));
  return stdout + stderr;
}
