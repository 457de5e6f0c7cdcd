import { setTimeout as sleep } from "node:timers/promises";
import { Interrupts } from "../interrupts.ts";
import { describe, toJson } from "./describe.ts";
import { endpoints } from "./endpoints.ts";
import { Looker, type Seen } from "./look.ts";
import { Screen } from "./screen.ts";

/** How long to look, where one look is all, to know how many requests a second there are, in ms. */
const RATE_MS = 500;

/** What to look at, and how to tell of it. */
export interface PsOptions {
  /** Sockets outside of the user's folder. */
  readonly sockets: readonly string[];
  /** How often to look, in ms; once if `undefined`. */
  readonly everyMs: number | undefined;
  readonly json: boolean;
}

/** Looks at all workers that there are. */
class Lookers implements AsyncDisposable {
  readonly #named: readonly string[];
  #lookers: ReadonlyMap<string, Looker> = new Map();

  constructor(named: readonly string[]) {
    this.#named = named;
  }

  async look(): Promise<readonly Seen[]> {
    const before = this.#lookers;
    const lookers = new Map(endpoints(this.#named).map((socket) => [socket, before.get(socket) ?? new Looker(socket)]));
    this.#lookers = lookers;
    for (const [socket, looker] of before) if (!lookers.has(socket)) await looker[Symbol.asyncDispose]();
    return await Promise.all([...lookers.values()].map((looker) => looker.look()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#lookers.values()].map((looker) => looker[Symbol.asyncDispose]()));
  }
}

/** Tells of the workers that there are, once, or until it is interrupted: that is how one ends it, and no error. */
export async function runPs({ sockets, everyMs, json }: PsOptions): Promise<void> {
  await using lookers = new Lookers(sockets);
  if (everyMs === undefined) {
    let seen = await lookers.look();
    if (seen.some((found) => "status" in found)) {
      await sleep(RATE_MS);
      seen = await lookers.look();
    }
    console.log(json ? toJson(seen, 2) : describe(seen));
    return;
  }
  using interrupts = new Interrupts();
  using screen = new Screen();
  for (const { signal } = interrupts; !signal.aborted;) {
    const seen = await lookers.look();
    if (json) console.log(toJson(seen));
    else screen.show(describe(seen));
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}
