import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { CompleteHttpOptions } from "./http_options.ts";

/** Sites that a browser asks for: its user's own wish, or the page of the same origin, which there is none of. */
const OWN_SITES: readonly (string | undefined)[] = [undefined, "none", "same-origin"];

/** Headers of an answer that a page may read. */
const EXPOSED = "inference-header-content-length, coload-error-code";

/** Says who may call. Any web page and any user of the machine reach a port of loopback. */
export class Guard {
  readonly #options: CompleteHttpOptions;
  readonly #digest: Uint8Array | undefined;
  /** The last Host that was right, as almost every request's is. */
  #host: string | undefined;

  constructor(options: CompleteHttpOptions) {
    this.#options = options;
    this.#digest = options.token === undefined ? undefined : digest(options.token);
  }

  /**
   * Refuses who may not.
   *
   * @param isOpen whether no token is wanted: probes have none
   * @returns whether the token is there, if one is wanted at all
   * @throws {OipError} 400 for a request without a host; 401; 403
   */
  check(headers: IncomingHttpHeaders, isOpen: boolean): boolean {
    this.#checkHost(headers.host);
    const { origin } = headers, site = headers["sec-fetch-site"];
    const isPage = origin !== undefined || !OWN_SITES.includes(site as string | undefined);
    if (isPage && !this.#isAllowed(origin)) {
      throw new OipError(403, `Web pages of ${origin ?? "other sites"} may not call this server: see allowedOrigins`);
    }
    const problem = this.#tokenProblem(headers.authorization);
    if (problem !== undefined && !isOpen) throw new OipError(401, problem);
    return problem === undefined;
  }

  /** What a page of an allowed origin must be told, so that its browser lets it read the answer. */
  pageHeaders({ origin }: IncomingHttpHeaders): Readonly<Record<string, string>> {
    if (origin === undefined || !this.#isAllowed(origin)) return {};
    return { "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED, vary: "origin" };
  }

  #isAllowed(origin: string | undefined): boolean {
    return origin !== undefined && this.#options.allowedOrigins.includes(origin.toLowerCase());
  }

  #checkHost(header: string | undefined): void {
    if (header !== undefined && header === this.#host) return;
    const [, bracketed, plain] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "") ?? [];
    const host = (bracketed ?? plain)?.toLowerCase(), { allowedHosts } = this.#options;
    if (host === undefined) throw new OipError(400, "A Host header wanted that names this server");
    const isOurs = isIP(host) !== 0 || host === "localhost" || (allowedHosts?.includes(host) ?? true);
    if (!isOurs) throw new OipError(403, `This server is not called ${host}: see allowedHosts`);
    this.#host = header;
  }

  #tokenProblem(header: string | undefined): string | undefined {
    if (this.#digest === undefined) return undefined;
    const [, token] = /^bearer ([\x21-\x7e]+)$/i.exec(header ?? "") ?? [];
    if (token === undefined) return "A bearer token wanted";
    return timingSafeEqual(digest(token), this.#digest) ? undefined : "The bearer token is another one";
  }
}

const digest = (token: string): Uint8Array => createHash("sha256").update(token).digest();
