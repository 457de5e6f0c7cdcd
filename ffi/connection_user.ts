import { libc } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";

const SIGNATURES = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" }, // (int domain, int type, int protocol)
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i64" }, // ssize_t (int socket, const void *, size_t, int flags)
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i64" }, // ssize_t (int socket, void *, size_t, int flags)
} as const;

const AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, SOCK_DGRAM = 2, SOCK_CLOEXEC = 0x80000, NETLINK_SOCK_DIAG = 4;
const IPPROTO_TCP = 6, SOCK_DIAG_BY_FAMILY = 20, NLM_F_REQUEST = 1, MSG_DONTWAIT = 0x40, ANY = 0xffffffff;
/** `struct nlmsghdr`, then `struct inet_diag_req_v2`; of the answer, where `struct inet_diag_msg` has the user. */
const HEAD_BYTES = 16, REQUEST_BYTES = 72, USER_AT = 80, MOST_ANSWER_BYTES = 4096;

/** One end of a connection: an IPv4 address, or ::1. */
export interface TcpEnd {
  readonly address: string;
  readonly port: number;
}

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/**
 * The user who has one end of a TCP connection of this machine: the kernel looks the connection up, after sock_diag(7).
 *
 * @returns `undefined` where there is no such connection, or the kernel does not tell
 */
export function userOfConnection(end: TcpEnd, other: TcpEnd): number | undefined {
  const fd = posix().socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return undefined;
  try {
    const request = question(end, other), answer = new Uint8Array(MOST_ANSWER_BYTES);
    if (posix().send(fd, request, BigInt(request.length), 0) < 0) return undefined;
    const length = Number(posix().recv(fd, answer, BigInt(answer.length), MSG_DONTWAIT)); // it is there by now
    const view = new DataView(answer.buffer),
      isFound = length > USER_AT + 4 && view.getUint16(4, true) === SOCK_DIAG_BY_FAMILY;
    return isFound ? view.getUint32(USER_AT, true) : undefined;
  } finally {
    libc().close(fd);
  }
}

function question(end: TcpEnd, other: TcpEnd): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REQUEST_BYTES), view = new DataView(bytes.buffer);
  view.setUint32(0, REQUEST_BYTES, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint8(HEAD_BYTES, end.address === "::1" ? AF_INET6 : AF_INET);
  view.setUint8(HEAD_BYTES + 1, IPPROTO_TCP);
  view.setUint32(HEAD_BYTES + 4, ANY, true); // in whatever state
  view.setUint16(HEAD_BYTES + 8, end.port); // ports and addresses as they are on the wire
  view.setUint16(HEAD_BYTES + 10, other.port);
  bytes.set(addressBytes(end.address), HEAD_BYTES + 12);
  bytes.set(addressBytes(other.address), HEAD_BYTES + 28);
  view.setUint32(HEAD_BYTES + 48, ANY, true); // no cookie
  view.setUint32(HEAD_BYTES + 52, ANY, true);
  return bytes;
}

function addressBytes(address: string): Uint8Array {
  if (address !== "::1") return Uint8Array.from(address.split("."), Number);
  const bytes = new Uint8Array(16);
  bytes[15] = 1;
  return bytes;
}
