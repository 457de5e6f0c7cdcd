// Add behind a server of node:http: see ../lane/http.ts.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pinTo } from "../lane/cores.ts";
import { openAdd } from "../lane/http.ts";
import { answer } from "../support/child.ts";

await answer({
  pin: pinTo,
  /** Loads the model and returns the port. */
  async serve(path: string): Promise<number> {
    const add = await openAdd(path);
    const server = createServer((request, response) => {
      request.on("data", (body: Uint8Array) => {
        const output = add(body);
        response.writeHead(200, { "content-type": "application/octet-stream", "content-length": output.length });
        response.end(output);
      });
    });
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  },
});
