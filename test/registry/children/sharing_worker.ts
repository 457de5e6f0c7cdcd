// A Worker that loads models by the process's registry, and prepares copies by itself: see sharing_peer.ts.
import { models, type SessionOptions } from "../../../mod.ts";

interface Scope {
  onmessage: (event: { readonly data: [path: string, options: SessionOptions] }) => void;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope;

scope.onmessage = async ({ data: [path, options] }) => {
  const onProgress = ({ phase }: { phase: string }): void => scope.postMessage({ phase });
  const { sharing, memory, id } = await models.load(path, { ...options, onProgress });
  scope.postMessage({ sharing, shared: memory.shared, id });
};
scope.postMessage({ phase: "up" });
