import { rangeError, typeError } from "../../errors.ts";

/** How a worker answers the Open Inference Protocol over HTTP. */
export interface HttpOptions {
  /** Where it listens: `127.0.0.1:8000`, `[::1]:8000`, `0.0.0.0:8000`, or a port alone, on loopback. Port 0 takes a free one. */
  listen: string;
  /** What the server calls itself. Default: `coload`; some clients look for `triton`. */
  serverName?: string;
  /** What callers must send as `Authorization: Bearer`, but for questions whether it is alive. Default: nothing. */
  token?: string;
  /** Names that the Host header may have beside addresses and `localhost`. Default: on loopback none, elsewhere any. */
  allowedHosts?: readonly string[];
  /** Origins of web pages that may call it, such as `https://example.org`. Default: none. */
  allowedOrigins?: readonly string[];
  /** Whether callers may name shared memory of this machine that tensors lie in. Default: `false`. */
  allowClientSharedMemory?: boolean;
  /** Whether callers may load and unload models. Default: `false`. */
  allowRepositoryControl?: boolean;
  /** Bytes of a request's body at most, also when it is unpacked. Default: 64 MiB. */
  maxBodyBytes?: number;
}

/** One with its defaults. */
export interface CompleteHttpOptions {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  readonly token: string | undefined;
  /** `undefined`: any. */
  readonly allowedHosts: readonly string[] | undefined;
  readonly allowedOrigins: readonly string[];
  readonly allowClientSharedMemory: boolean;
  readonly allowRepositoryControl: boolean;
  readonly maxBodyBytes: number;
}

const MOST_BODY_BYTES: number = 64 << 20;
const LOOPBACK = "127.0.0.1";
const KNOWN = [
  "listen",
  "serverName",
  "token",
  "allowedHosts",
  "allowedOrigins",
  "allowClientSharedMemory",
  "allowRepositoryControl",
  "maxBodyBytes",
];

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Fills in what is not said. @throws {TypeError} INVALID_ARGUMENT @throws {RangeError} OUT_OF_RANGE */
export function completeHttpOptions(given: string | HttpOptions): CompleteHttpOptions {
  const options = typeof given === "string" ? { listen: given } : given;
  if (typeof options !== "object" || options === null || typeof options.listen !== "string") {
    throw typeError("INVALID_ARGUMENT", "Cannot serve http: an address to listen at wanted");
  }
  const unknown = Object.keys(options).find((key) => !KNOWN.includes(key));
  if (unknown) throw typeError("INVALID_ARGUMENT", `Cannot serve http: there is no option "${unknown}"`);
  const { serverName = "coload", token, allowedHosts, allowedOrigins = [], maxBodyBytes = MOST_BODY_BYTES } = options;
  const { host, port } = parseListen(options.listen);
  if (typeof serverName !== "string" || serverName === "") {
    throw typeError("INVALID_ARGUMENT", "Cannot serve http: a text wanted as serverName");
  }
  if (token !== undefined && !(typeof token === "string" && /^[\x21-\x7e]{1,4096}$/.test(token))) {
    throw typeError("INVALID_ARGUMENT", "Cannot serve http: a token of printable characters without spaces wanted");
  }
  for (const [what, texts] of Object.entries({ allowedHosts: allowedHosts ?? [], allowedOrigins })) {
    if (Array.isArray(texts) && texts.every((text) => typeof text === "string" && text !== "")) continue;
    throw typeError("INVALID_ARGUMENT", `Cannot serve http: an array of texts wanted as ${what}`);
  }
  if (!(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes >= 1)) {
    throw rangeError("OUT_OF_RANGE", `Cannot serve http: a maxBodyBytes from 1 up wanted, ${maxBodyBytes} found`);
  }
  return {
    host,
    port,
    serverName,
    token,
    allowedHosts: (allowedHosts ?? (isLoopback(host) ? [] : undefined))?.map((name) => name.toLowerCase()),
    allowedOrigins: allowedOrigins.map((origin) => origin.toLowerCase()),
    allowClientSharedMemory: options.allowClientSharedMemory === true,
    allowRepositoryControl: options.allowRepositoryControl === true,
    maxBodyBytes,
  };
}

function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const found = /^(?:http:\/\/)?(?:(\[[0-9a-f:.]+\]|[a-z0-9.-]+):)?(\d{1,5})\/?$/i.exec(listen.replace(/^:(?=\d)/, ""));
  if (found === null || Number(found[2]) > 65535) {
    const message = `Cannot serve http: an address such as 127.0.0.1:8000 wanted, ${JSON.stringify(listen)} found`;
    throw typeError("INVALID_ARGUMENT", message);
  }
  return { host: (found[1] ?? LOOPBACK).replace(/^\[|\]$/g, "").toLowerCase(), port: Number(found[2]) };
}
