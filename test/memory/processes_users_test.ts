import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { failure } from "../support/sessions.ts";
import { isNamed, missing, PAIRINGS, Peer, refused, type Runtime } from "./peers/peer.ts";

const STRANGER = ["setpriv", "--reuid", "12345", "--clear-groups"];
/** A user namespace that maps nobody: all files belong to the same overflow user, and so does the process. */
const UNMAPPED = ["unshare", "-U"];
const FORBIDDEN = failure("NativeError", "REGION_FORBIDDEN");
const BACKENDS = ["named", "memfd"] as const;

const notRoot = process.geteuid!() !== 0 && "only root can start a process of another user";

for (const [from, to] of PAIRINGS) {
  const skip = notRoot || missing(from, to) || refused(STRANGER);

  describe(`memory of a ${from} process of another user, seen by a ${to} process`, { skip }, () => {
    let home: TemporaryFolder, stranger: Peer, peer: Peer;

    function startStranger(runtime: Runtime): Promise<Peer> {
      return Peer.start(runtime, { through: STRANGER, env: { HOME: home.path, DENO_DIR: home.join("deno") } });
    }

    before(async () => {
      home = new TemporaryFolder();
      chmodSync(home.path, 0o777);
      [stranger, peer] = await Promise.all([startStranger(from), Peer.start(to)]);
      assert.equal((await stranger.ask("hello")).uid, 12345);
    });

    after(async () => {
      await Promise.all([stranger[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
      home[Symbol.dispose]();
    });

    for (const backend of BACKENDS) {
      it(`is refused, both ways, by ${backend}`, async () => {
        for (const [one, other] of [[stranger, peer], [peer, stranger]] as const) {
          await one.ask("allocateBy", { backend });
          const { id, ref, word } = await one.ask("allocate", "float32", [100]);
          await assert.rejects(other.ask("open", word), FORBIDDEN);
          await assert.rejects(other.ask("openRegion", ref.region), FORBIDDEN);
          await one.ask("write", id, 99, 0.5);
          assert.equal(await one.ask("read", id, 99), 0.5);
        }
      });
    }

    it("is left to its user when that was killed", async () => {
      const doomed = await startStranger(from), { ref } = await doomed.ask("allocate", "float32", [100]);
      await doomed.kill();
      await peer.ask("sweep");
      assert.ok(isNamed(ref));
      await stranger.ask("sweep");
      assert.ok(!isNamed(ref));
    });

    it("is refused where that user cannot be told from others", { skip: refused(UNMAPPED) }, async () => {
      await using blind = await Peer.start(to, { through: UNMAPPED });
      for (const backend of BACKENDS) {
        await stranger.ask("allocateBy", { backend });
        const { word } = await stranger.ask("allocate", "float32", [100]);
        await assert.rejects(blind.ask("open", word), FORBIDDEN);
      }
      await peer.ask("allocateBy", {});
      const { id, word } = await peer.ask("allocate", "float32", [100]);
      await blind.ask("write", await blind.ask("open", word), 5, 1);
      assert.equal(await peer.ask("read", id, 5), 1);
    });
  });
}
