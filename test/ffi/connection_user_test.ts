import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer } from "node:net";
import process from "node:process";
import { describe, it } from "node:test";
import { userOfConnection } from "../../ffi/connection_user.ts";

describe("userOfConnection", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    it(`knows whose either end of a connection by ${host} is`, async () => {
      const server = createServer().listen(0, host);
      await new Promise((resolve) => server.once("listening", resolve));
      const accepted = new Promise<void>((resolve) =>
        server.once("connection", (socket) => resolve(void socket.resume()))
      );
      const { port } = server.address() as AddressInfo, socket = connect(port, host);
      await Promise.all([accepted, new Promise((resolve) => socket.once("connect", resolve))]);
      const client = { address: host, port: socket.localPort! }, here = { address: host, port };
      assert.deepEqual([userOfConnection(client, here), userOfConnection(here, client)], [
        process.getuid!(),
        process.getuid!(),
      ]);
      assert.equal(userOfConnection({ ...client, port: port + 1 }, here), undefined);
      socket.destroy();
      server.close();
    });
  }
});
