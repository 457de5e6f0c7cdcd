// Runs models of operators as they are, prepacked and mapped, and tells how the outputs differ; one line each.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { configure, InferenceSession, type Sharing, type Tensor } from "../../../mod.ts";
import { type OperatorModel, type OperatorName, OPERATORS } from "../../support/models.ts";
import { compare, identical, operatorFeeds, SIZES } from "../../support/operator_feeds.ts";

/** How a model is shared in one way, and what its runs came to. */
export interface Found {
  readonly sharing: Sharing;
  /** Bytes of weights that the session has for itself. */
  readonly ownBytes: number;
  /** Whether all outputs are those of the plain model, to the bit. */
  readonly equal: boolean;
  /** The largest difference, as a part of the output's largest number. */
  readonly apart: number;
}

/** What is told of an operator. */
export interface Line {
  readonly name: OperatorName;
  /** Its size, nearly all of it weights. */
  readonly byteLength: number;
  readonly prepacked: Found;
  readonly mapped: Found;
}

const [folder, ...names] = process.argv.slice(2) as [string, ...OperatorName[]];
mkdirSync(folder, { recursive: true });
configure({ cacheDir: join(folder, "cache") });

async function found(
  path: string,
  { inputs }: OperatorModel,
  shareWeights: "prepacked" | "mapped",
): Promise<Found> {
  await using plain = await InferenceSession.create(path, { shareWeights: "off" });
  await using shared = await InferenceSession.create(path, { shareWeights });
  let equal = true, apart = 0;
  for (const [i, sizes] of SIZES.entries()) {
    const feeds = operatorFeeds(inputs, sizes, i + 1);
    using wanted = await plain.run(feeds);
    using got = await shared.run(feeds);
    const [a, b] = [wanted, got].map((outputs) => outputs[plain.outputs[0]!.name] as Tensor) as [Tensor, Tensor];
    equal &&= identical(a, b);
    const { largest, apart: by } = compare(a, b);
    apart = Math.max(apart, by / largest);
  }
  return { sharing: shared.sharing, ownBytes: shared.memory.weights, equal, apart };
}

for (const [i, name] of names.entries()) {
  const path = join(folder, `${i}-of-${names.length}.onnx`), model = OPERATORS[name](1);
  writeFileSync(path, model.bytes);
  const prepacked = await found(path, model, "prepacked"), mapped = await found(path, model, "mapped");
  console.log(JSON.stringify({ name, byteLength: model.bytes.length, prepacked, mapped } satisfies Line));
}
