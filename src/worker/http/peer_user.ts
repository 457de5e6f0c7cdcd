import type { Socket } from "node:net";
import { userOfConnection } from "../../../ffi/connection_user.ts";
import { effectiveUser } from "../../../ffi/descriptors.ts";
import { isLoopback } from "./http_options.ts";

const ROOT = 0;

/** What is known of connections by now. */
const known = new WeakMap<Socket, boolean>();

/** Whether the other end of a connection is a process of this machine, and of this user or of root. */
export function isOfThisUser(socket: Socket): boolean {
  let found = known.get(socket);
  if (found === undefined) known.set(socket, found = look(socket));
  return found;
}

function look({ remoteAddress = "", remotePort, localAddress = "", localPort }: Socket): boolean {
  const peer = plain(remoteAddress), own = plain(localAddress);
  if (!isLoopback(peer) || remotePort === undefined || localPort === undefined) return false;
  const user = userOfConnection({ address: peer, port: remotePort }, { address: own, port: localPort });
  return user === ROOT || user === effectiveUser();
}

/** An IPv4 address that was taken for one of IPv6, as it is. */
const plain = (address: string): string => address.replace(/^::ffff:/i, "");
