import type { Socket } from "node:net";
import { effectiveUser } from "../../../ffi/descriptors.ts";
import { readText } from "../../../ffi/files.ts";
import { isLoopback } from "./http_options.ts";

/** Where the kernel lists connections, and who has them. */
const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"] as const;
/** Of a table: some 30,000 connections. */
const MOST_BYTES: number = 4 << 20;
/** Columns of these. */
const LOCAL = 1, REMOTE = 2, USER = 7;

/** What is known of connections by now. */
const known = new WeakMap<Socket, boolean>();

/** Whether the other end of a connection is a process of this machine, and of this user or of root. */
export function isOfThisUser(socket: Socket): boolean {
  let found = known.get(socket);
  if (found === undefined) known.set(socket, found = look(socket));
  return found;
}

function look({ remoteAddress = "", remotePort, localAddress = "", localPort }: Socket): boolean {
  const [peer, own] = [remoteAddress, localAddress].map((address) => address.replace(/^::ffff:/i, "")) as [
    string,
    string,
  ];
  if (!isLoopback(peer) || remotePort === undefined || localPort === undefined) return false;
  const [local, remote] = [end(peer, remotePort), end(own, localPort)];
  for (const table of TABLES) {
    for (const line of (readText(table, MOST_BYTES) ?? "").split("\n")) {
      const columns = line.trim().split(/\s+/);
      if (columns[LOCAL]?.endsWith(local) && columns[REMOTE]?.endsWith(remote)) {
        return [0, effectiveUser()].includes(Number(columns[USER]));
      }
    }
  }
  return false;
}

/** An end of a connection as the kernel writes it: an IPv4 address may be the end of one of IPv6. */
function end(address: string, port: number): string {
  const hexadecimal = (number: number, digits: number): string =>
    number.toString(16).toUpperCase().padStart(digits, "0");
  const bytes = address === "::1" ? [1, 0, 0, 0] : address.split(".").map(Number).reverse(); // of each word, the last first
  return `${bytes.map((byte) => hexadecimal(byte, 2)).join("").padStart(8, "0")}:${hexadecimal(port, 4)}`;
}
