/**
 * Unix sockets by their descriptors: what the runtimes' own do not offer, such as who the peer is, and passing files.
 *
 * @module
 */
import { functionPointer, libc } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";
import { offset } from "./native_memory.ts";
import { OwnedMemory } from "./owned_memory.ts";
import { callNative } from "./process/calls.ts";
import { ensureThreads } from "./process/pool.ts";
import { ERRNO, SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" }, // (int socket, struct sockaddr *, socklen_t *, int flags)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // (int socket, const struct sockaddr *, socklen_t)
  chmod: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *path, mode_t mode)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" }, // (int socket, const struct sockaddr *, socklen_t)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" }, // (int socket, int level, int option, void *value, socklen_t *length)
  listen: { parameters: ["i32", "i32"], result: "i32" }, // (int socket, int backlog)
  poll: { parameters: ["pointer", "u64", "i32"], result: "i32" }, // (struct pollfd *, nfds_t count, int timeout in ms)
  recvmsg: { parameters: ["i32", "pointer", "i32"], result: "i64" }, // (int socket, struct msghdr *, int flags)
  sendmsg: { parameters: ["i32", "pointer", "i32"], result: "i64" }, // (int socket, const struct msghdr *, int flags)
  shutdown: { parameters: ["i32", "i32"], result: "i32" }, // (int socket, int how)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" }, // (int domain, int type, int protocol)
} as const;

const AF_UNIX = 1, SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, SOCK_CLOEXEC = 0x80000, BACKLOG = 512;
const SOL_SOCKET = 1, SO_PEERCRED = 17, SCM_RIGHTS = 1, SHUT_RDWR = 2;
const MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000, MSG_CTRUNC = 8, MSG_CMSG_CLOEXEC = 0x40000000;
const POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10, POLLRDHUP = 0x2000;

/** Threads that wait for descriptors, at most: others wait for one of these. */
const MOST_WAITING = 16;

/** Bytes of a socket's path, at most: what `struct sockaddr_un` holds beside a NUL. */
export const MOST_PATH_BYTES = 107;
/** Descriptors that one message carries, at most. */
export const MOST_DESCRIPTORS = 8;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** `struct sockaddr_un` */
function socketAddress(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path), address = new Uint8Array(110);
  if (name.length > MOST_PATH_BYTES) throw new SystemFailure(`use ${path} as a socket`, ERRNO.ENAMETOOLONG);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}

function newSocket(): number {
  const fd = posix().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw new SystemFailure("make a socket");
  return fd;
}

function orClose<T>(fd: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

/** A socket of this path that nobody but this user can connect to. @throws {SystemFailure} EADDRINUSE, ENAMETOOLONG, … */
export function listenAt(path: string): number {
  const address = socketAddress(path), fd = newSocket();
  return orClose(fd, () => {
    const doing = `listen at ${path}`;
    if (posix().bind(fd, address, address.length) !== 0) throw new SystemFailure(doing);
    if (posix().chmod(address.subarray(2), 0o600) !== 0) throw new SystemFailure(doing); // nobody connects before listen
    if (posix().listen(fd, BACKLOG) !== 0) throw new SystemFailure(doing);
    return fd;
  });
}

/** Connects to a socket. @throws {SystemFailure} ENOENT, ECONNREFUSED, EAGAIN where too many are waiting, … */
export function connectTo(path: string): number {
  const address = socketAddress(path), fd = newSocket();
  return orClose(fd, () => {
    if (posix().connect(fd, address, address.length) !== 0) throw new SystemFailure(`connect to ${path}`);
    return fd;
  });
}

/** Two connected sockets. @throws {SystemFailure} */
export function socketPair(): [number, number] {
  using fds = new OwnedMemory(8);
  if (libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, offset(fds, 0)) !== 0) {
    throw new SystemFailure("make a pair of sockets");
  }
  const [one, other] = new Int32Array(fds.buffer, 0, 2);
  return [one!, other!];
}

/** Takes a connection that is waiting; `undefined` where none is. @throws {SystemFailure} such as EMFILE */
export function acceptWaiting(fd: number): number | undefined {
  const accepted = posix().accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted >= 0) return accepted;
  const failure = new SystemFailure("accept a connection");
  const passing: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR, ERRNO.ECONNABORTED];
  if (passing.includes(failure.errno)) return undefined;
  throw failure;
}

/** Ends a socket for everybody who has it: who waits for it is woken. */
export function shutDown(fd: number): void {
  posix().shutdown(fd, SHUT_RDWR);
}

/** Who is at the other end, as the kernel noted when the connection was made. */
export interface Peer {
  /** 0 where it is in a pid namespace that this process does not see. */
  readonly pid: number;
  readonly uid: number;
}

/** Who is at the other end. @throws {SystemFailure} */
export function peerOf(fd: number): Peer {
  const credentials = new Int32Array(3), length = new Uint32Array([12]);
  if (posix().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) {
    throw new SystemFailure("see who the peer is");
  }
  return { pid: credentials[0]!, uid: credentials[1]! >>> 0 };
}

let pollEntry: OwnedMemory | undefined;

/** Whether the other end of a connection is closed, whatever is still to be read. */
export function isHungUp(fd: number): boolean {
  pollEntry ??= new OwnedMemory(8);
  const events = writePollEntry(pollEntry, fd, POLLRDHUP);
  return posix().poll(offset(pollEntry, 0), 1n, 0) > 0 && (events[1]! & (POLLRDHUP | POLLHUP | POLLERR)) !== 0;
}

/** Blocks this thread until a descriptor can be read, or written, or is closed at the other end. Whether it was in time. */
export function blockUntil(fd: number, what: "readable" | "writable", milliseconds: number): boolean {
  pollEntry ??= new OwnedMemory(8);
  writePollEntry(pollEntry, fd, what === "readable" ? POLLIN : POLLOUT);
  return posix().poll(offset(pollEntry, 0), 1n, Math.ceil(milliseconds)) > 0;
}

/** `struct pollfd`; returns its events, asked for and found. */
function writePollEntry({ buffer }: OwnedMemory, fd: number, wanted: number): Int16Array {
  new Int32Array(buffer, 0, 1)[0] = fd;
  const events = new Int16Array(buffer, 4, 2);
  events.set([wanted, 0]);
  return events;
}

let waiting = 0;

/** Waits on a native thread until a descriptor can be read, or is closed at the other end. Whether it was in time. */
export async function untilReadable(fd: number, milliseconds: number): Promise<boolean> {
  using entry = new OwnedMemory(8);
  writePollEntry(entry, fd, POLLIN);
  ensureThreads("wait", Math.min(++waiting, MOST_WAITING));
  try {
    const found = await callNative("wait", functionPointer("poll"), [entry.address, 1n, BigInt(milliseconds)]);
    return BigInt.asIntN(32, found) > 0n;
  } finally {
    waiting--;
  }
}

/** Sends what the socket takes now. Returns the bytes it took; 0 when it is full. @throws {SystemFailure} such as EPIPE */
export function sendNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  return messages().send(fd, bytes, []);
}

/** Sends one message with descriptors, whole or not at all. @throws {SystemFailure} */
export function sendWithDescriptors(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
  if (messages().send(fd, bytes, fds) === bytes.length) return;
  throw new SystemFailure("send a message", ERRNO.EAGAIN);
}

/** What one {@linkcode receiveWithDescriptors} found. */
export interface Received {
  /** Empty when the other end is closed. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The receiver's to close. */
  readonly fds: readonly number[];
}

/** Receives what is there; `undefined` where nothing is. @throws {SystemFailure} */
export function receiveWithDescriptors(fd: number, most: number): Received | undefined {
  return messages().receive(fd, most);
}

/** `struct msghdr` at 0, `struct iovec` at 64, control data at 128, bytes from 256 on. */
class Messages {
  static readonly #DATA = 256;
  readonly #memory = new OwnedMemory(1 << 16);
  readonly #buffer = this.#memory.buffer;
  readonly #words = new BigUint64Array(this.#buffer, 0, 32);
  readonly #i32 = new Int32Array(this.#buffer, 0, 64);

  get #mostBytes(): number {
    return this.#buffer.byteLength - Messages.#DATA;
  }

  #prepare(byteLength: number, controlLength: number): void {
    const at = (byteOffset: number): bigint => this.#memory.address + BigInt(byteOffset);
    this.#words.fill(0n);
    this.#words[2] = at(64);
    this.#words[3] = 1n;
    if (controlLength > 0) this.#words[4] = at(128);
    this.#words[5] = BigInt(controlLength);
    this.#words[8] = at(Messages.#DATA);
    this.#words[9] = BigInt(byteLength);
  }

  send(fd: number, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): number {
    const part = bytes.subarray(0, this.#mostBytes), control = fds.length * 4 + 16;
    this.#prepare(part.length, fds.length === 0 ? 0 : Math.ceil(control / 8) * 8);
    if (fds.length > 0) {
      this.#words[16] = BigInt(control);
      this.#i32.set([SOL_SOCKET, SCM_RIGHTS, ...fds], 34);
    }
    new Uint8Array(this.#buffer, Messages.#DATA, part.length).set(part);
    const sent = Number(posix().sendmsg(fd, offset(this.#memory, 0), MSG_DONTWAIT | MSG_NOSIGNAL));
    if (sent >= 0) return sent;
    const failure = new SystemFailure("send a message");
    if (failure.errno === ERRNO.EAGAIN || failure.errno === ERRNO.EINTR) return 0;
    throw failure;
  }

  receive(fd: number, most: number): Received | undefined {
    this.#prepare(Math.min(most, this.#mostBytes), 16 + MOST_DESCRIPTORS * 4);
    const length = Number(posix().recvmsg(fd, offset(this.#memory, 0), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    if (length < 0) {
      const failure = new SystemFailure("receive a message");
      if (failure.errno === ERRNO.EAGAIN || failure.errno === ERRNO.EINTR) return undefined;
      throw failure;
    }
    const control = this.#words[5]! >= 16n ? Number(this.#words[16]) : 0;
    const isRights = control > 16 && this.#i32[34] === SOL_SOCKET && this.#i32[35] === SCM_RIGHTS;
    const fds = isRights ? [...this.#i32.subarray(36, 36 + (control - 16) / 4)] : [];
    if ((this.#i32[12]! & MSG_CTRUNC) !== 0) {
      for (const fd of fds) libc().close(fd);
      throw new SystemFailure("receive all the files of a message", ERRNO.EMFILE);
    }
    return { bytes: new Uint8Array(this.#buffer.slice(Messages.#DATA, Messages.#DATA + length)), fds };
  }
}

let made: Messages | undefined;
const messages = (): Messages => made ??= new Messages();
