/** The models whose weights are shared, in a folder with a cache of its own, and the ways to load them. */
import { writeWeights } from "../../test/support/models.ts";
import type { SessionOptions } from "../../mod.ts";
import { detectionPath, recognitionPath } from "../support/cases.ts";
import { Child, type RuntimeName } from "../support/child.ts";
import type { ScratchFolder } from "../support/ending.ts";

/** A model, and what it is fed with. */
export interface Fed {
  readonly path: string;
  readonly shape: readonly number[];
}

/** How models are loaded. */
export type Way = Pick<SessionOptions, "shareWeights" | "shrinkArena">;

/** The ways by name. */
export const WAYS: Readonly<Record<"plain" | "prepacked" | "mapped", Way>> = {
  plain: { shareWeights: "off" },
  prepacked: { shareWeights: "prepacked" },
  mapped: { shareWeights: "mapped" },
};

/** Everything that is measured. */
export interface Models {
  /** Where all of it lies. */
  readonly folder: string;
  readonly cacheDir: string;
  readonly byteLength: number;
  /** One file with its weights inside. */
  readonly large: Fed;
  /** The same weights, in a file beside the model. */
  readonly external: Fed;
  readonly detection: Fed;
  readonly recognition: Fed;
}

/** Writes the models. */
export function writeModels(folder: ScratchFolder, byteLength: number): Models {
  const { inputWidth } = writeWeights({ path: folder.join("large.onnx"), byteLength }), shape = [1, inputWidth];
  writeWeights({ path: folder.join("external.onnx"), byteLength, external: true });
  const recognition = recognitionPath(), detection = detectionPath();
  return {
    folder: folder.path,
    cacheDir: folder.join("cache"),
    byteLength,
    large: { path: folder.join("large.onnx"), shape },
    external: { path: folder.join("external.onnx"), shape },
    detection: { path: detection, shape: [1, 3, 640, 640] },
    recognition: { path: recognition, shape: [1, 3, 48, 320] },
  };
}

/** A process that has started the runtime, Coload and onnxruntime, and no model yet. */
export async function startHolder({ folder, cacheDir }: Models, runtime: RuntimeName): Promise<Child> {
  const child = new Child(new URL("../children/weights_holder.ts", import.meta.url), runtime);
  await child.ask("start", folder, cacheDir);
  return child;
}

/** Prepares copies, so that what follows finds them. */
export async function prepareCopies(models: Models, runtime: RuntimeName): Promise<void> {
  const { large, external, detection, recognition } = models;
  for (const fed of [large, external, detection, recognition]) {
    const ways = fed === large ? [WAYS.prepacked, WAYS.mapped] : [WAYS.prepacked];
    for (const way of ways) {
      using child = await startHolder(models, runtime);
      await child.ask("load", [fed], way);
    }
  }
}
