import findMyWay from "find-my-way";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { Handler } from "./call.ts";

type Method = "GET" | "POST";
type Params = Readonly<Record<string, string | undefined>>;

/** One thing that can be asked for. */
export interface Route {
  readonly method: Method;
  /** Of the path, `:name` for what a request says. */
  readonly path: string;
  readonly handler: Handler;
  /** Whether it is answered without a token. Default: `false`. */
  readonly isOpen?: boolean;
}

/** A route that a request means. */
export interface FoundRoute {
  readonly route: Route;
  readonly params: Params;
}

/** What proxies put before the path. */
const ORIGIN = /^https?:\/\/[^/?#]*/i;

const METHODS: readonly Method[] = ["GET", "POST"];
/** Of a model's or a region's name in a path. */
const MOST_NAME_LENGTH = 1024;

/** Finds what a request asks for. */
export class Routes {
  readonly #router = findMyWay({ caseSensitive: true, ignoreTrailingSlash: true, maxParamLength: MOST_NAME_LENGTH });

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#router.on(route.method, route.path, () => {}, route);
  }

  /** The route of a method and path. @throws {OipError} 404, 405 */
  find(method: string, url: string): FoundRoute {
    const path = url.replace(ORIGIN, "").split(/[?#]/, 1)[0] || "/", asked = method === "HEAD" ? "GET" : method;
    const found = METHODS.includes(asked as Method) ? this.#lookUp(asked as Method, path) : undefined;
    if (found !== undefined) return found;
    const others = METHODS.filter((other) => this.#lookUp(other, path) !== undefined);
    if (others.length === 0) throw new OipError(404, `There is nothing at ${path.slice(0, 200)}`);
    throw new OipError(405, `${path.slice(0, 200)} is asked for by ${others.join(" or ")}, not by ${method}`);
  }

  #lookUp(method: Method, path: string): FoundRoute | undefined {
    const found = this.#router.find(method, path);
    return found === null ? undefined : { route: found.store as Route, params: found.params };
  }
}
