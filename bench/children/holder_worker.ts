// A Worker that loads a model from the process's registry when it is told to, and holds it.
import { type InferenceSession, models } from "../../mod.ts";

interface Scope {
  onmessage: (event: { readonly data: string }) => void;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope, held: InferenceSession[] = [];

scope.onmessage = async ({ data: path }) => {
  held.push(await models.load(path));
  scope.postMessage(held.length);
};
scope.postMessage(0);
