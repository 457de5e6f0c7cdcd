import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** An npm registry of this machine that answers every request in one way. */
export class LocalRegistry implements AsyncDisposable {
  /** What was asked for, in order. */
  readonly requests: string[] = [];
  readonly #server: Server;

  private constructor(answer: (response: ServerResponse) => void) {
    this.#server = createServer((request, response) => {
      this.requests.push(request.url!);
      answer(response);
    });
  }

  /** Starts one that answers so. */
  static async start(answer: (response: ServerResponse) => void): Promise<LocalRegistry> {
    const registry = new LocalRegistry(answer);
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  /** What makes it the registry of a process. */
  get env(): Record<string, string> {
    return { npm_config_registry: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
