// A handler that does nothing, behind the worker's server and router: see ../oip/empty.ts and ../oip_memory.ts.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import findMyWay from "find-my-way";
import { pinTo } from "../lane/cores.ts";
import { collectedMemory } from "../oip/collected_memory.ts";
import { answer } from "../support/child.ts";
import { settledMemory } from "../support/memory.ts";

/** What is answered to each request of a form. */
interface Constant {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: readonly number[];
}

const kept: Uint8Array[] = [];

await answer({
  pin: pinTo,
  settledMemory,
  collectedMemory,
  /**
   * Answers inferences in JSON and binary ones, and returns the port.
   *
   * @param keeps bytes of each request that it never forgets
   */
  serve(json: Constant, binary: Constant, keeps = 0): Promise<number> {
    const router = findMyWay({ caseSensitive: true, ignoreTrailingSlash: true });
    const [ofJson, ofBinary] = [json, binary].map(({ headers, body }) => ({ headers, body: Uint8Array.from(body) }));
    router.on("POST", "/v2/models/:model/infer", (request, response) => {
      const chunks: Uint8Array[] = [];
      request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      request.on("end", () => {
        if (keeps > 0) kept.push(new Uint8Array(keeps).fill(chunks[0]![0]!));
        const isBinary = request.headers["inference-header-content-length"] !== undefined;
        const { headers, body } = isBinary ? ofBinary! : ofJson!;
        response.writeHead(200, { ...headers, "content-length": body.length });
        response.end(body);
      });
    });
    const options = { keepAliveTimeout: 0 }; // as the worker: a timer for each request costs Deno a third
    const server = createServer(options, (request, response) => router.lookup(request, response));
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  },
});
