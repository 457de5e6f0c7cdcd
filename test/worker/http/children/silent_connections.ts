/**
 * Opens connections to a server and says nothing on them, until its input ends: `silent_connections.ts HOST PORT COUNT`.
 *
 * @module
 */
import { connect } from "node:net";
import process from "node:process";

/** So many at once: no more than a server's backlog. */
const AT_ONCE = 100;

function open(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  socket.on("error", () => {});
  return new Promise((resolve) => socket.once("connect", () => resolve()).once("close", () => resolve()));
}

if (import.meta.main) {
  const [host, port, count] = process.argv.slice(2) as [string, string, string];
  for (let left = Number(count); left > 0; left -= AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(left, AT_ONCE) }, () => open(host, Number(port))));
  }
  process.stdin.on("end", () => process.exit(0)).resume();
  process.stdout.write("open\n");
}
