import type { Region } from "../memory/region.ts";
import { timeLimit } from "../protocol/time_limit.ts";
import { answerError } from "./http_failure.ts";
import type { HttpTransport } from "./http_transport.ts";

/** How long a server may take to map a region, or to let it go. */
const REGISTER_MS = 5000;
/** How often in a row a region may be found missing that the server had registered: other servers may stand behind one address. */
const MOST_LOSSES = 2;

/** What a server knows of a region. */
interface Registration {
  /** What it is called there. */
  readonly name: string;
  state: "unknown" | "registered" | "refused";
  asking: Promise<void> | undefined;
  losses: number;
}

const encoder = new TextEncoder();

/** The regions of shared memory that a server was told of, by the system shared memory extension. */
export class HttpRegions {
  readonly #transport: HttpTransport;
  /** Other clients, of this process too, tell the server of the same regions. */
  readonly #suffix = crypto.randomUUID().slice(0, 8);
  readonly #registrations = new Map<Region, Registration>();

  constructor(transport: HttpTransport) {
    this.#transport = transport;
  }

  /** Tells the server of regions that it does not know; what it refuses stays unknown to it for good. */
  async register(regions: readonly Region[]): Promise<void> {
    this.#forgetClosed();
    await Promise.all(regions.map((region) => this.#register(region)));
  }

  /** What a region is called at the server; `undefined` where it does not know it. */
  nameOf(region: Region): string | undefined {
    const registration = this.#registrations.get(region);
    return registration?.state === "registered" ? registration.name : undefined;
  }

  /** Notes that the server did not know regions that it was told of, as one does that was started anew. */
  lost(regions: readonly Region[]): void {
    for (const region of regions) {
      const registration = this.#registrations.get(region);
      if (registration?.state !== "registered") continue;
      registration.state = ++registration.losses < MOST_LOSSES ? "unknown" : "refused";
    }
  }

  /** Notes that the server used regions. */
  used(regions: readonly Region[]): void {
    for (const region of regions) {
      const registration = this.#registrations.get(region);
      if (registration !== undefined) registration.losses = 0;
    }
  }

  /** Has the server let go of all, as far as it answers soon. */
  async close(): Promise<void> {
    const all = [...this.#registrations.values()];
    this.#registrations.clear();
    await Promise.all(all.map((registration) => this.#unregister(registration)));
  }

  /** The server would keep the memory of regions that nobody uses any more. */
  #forgetClosed(): void {
    for (const [region, registration] of this.#registrations) {
      if (!region.closed || registration.asking !== undefined) continue;
      this.#registrations.delete(region);
      this.#unregister(registration).catch(() => {});
    }
  }

  async #register(region: Region): Promise<void> {
    let registration = this.#registrations.get(region);
    if (registration === undefined) {
      registration = { name: `${region.name}-${this.#suffix}`, state: "unknown", asking: undefined, losses: 0 };
      this.#registrations.set(region, registration);
    }
    if (registration.state !== "unknown") return;
    await (registration.asking ??= this.#ask(region, registration).finally(() => registration.asking = undefined));
  }

  async #ask({ name: key, layout }: Region, registration: Registration): Promise<void> {
    if (registration.losses > 0) await this.#unregister(registration); // it may know another by that name
    const about = { key: `/${key}`, offset: 0, byte_size: layout.byteLength };
    try {
      await this.#post(registration, "register", encoder.encode(JSON.stringify(about)));
      registration.state = "registered";
    } catch (error) {
      const { code } = error as { code?: unknown }; // of who does not answer now, the request tells more
      const isAway = code === "WORKER_UNAVAILABLE" || code === "WORKER_DIED" || code === "WORKER_BUSY";
      if (!isAway) registration.state = "refused";
    }
  }

  async #unregister(registration: Registration): Promise<void> {
    if (registration.state === "refused" && registration.losses === 0) return;
    await this.#post(registration, "unregister").catch(() => {});
  }

  async #post({ name }: Registration, what: string, body?: Uint8Array<ArrayBuffer>): Promise<void> {
    using limit = timeLimit(REGISTER_MS);
    const path = `/v2/systemsharedmemory/region/${name}/${what}`;
    const answer = await this.#transport.send({ method: "POST", path, ...(body && { body }) }, limit.signal);
    if (answer.status !== 200) throw answerError(this.#transport.base, answer);
  }
}
