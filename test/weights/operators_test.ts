import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runChild } from "../support/child.ts";
import { type OperatorName, OPERATORS } from "../support/models.ts";
import type { Line } from "./children/operators.ts";

const SCRIPT = new URL("./children/operators.ts", import.meta.url);
/** Half of the models each, so that both are quick. */
const CHILDREN = 2;
/** Of an output's largest number: what another order of summing may change. */
const TOLERANCE = 1e-4, COARSE = 2e-3;
/** Of a model: the rest are weights of less than 16 KB, and the graph. */
const MOST = 0.9;
/** Numbers by which a quantized model scales, and the like. */
const OWN_BYTES = 1000;

/** Why a model is not shared at all. */
const NOT_SHARED: { readonly [N in OperatorName]?: string } = {
  "MatMul, each under 16 KB": "it has no weights of 16 KB or more",
  "MatMul and noise": "its outputs are others at each run, so that no copy can be compared with it",
};

/** The operator, as onnxruntime fuses it, for whose sake a model is prepacked where it should be mapped. */
const NOT_MAPPED: { readonly [N in OperatorName]?: string } = {
  "MatMul, quantized": "QLinearMatMul",
  "MatMul, dynamically quantized": "DynamicQuantizeMatMul",
  "MatMulNBits": "MatMulNBits",
  "MatMulNBits, int8": "MatMulNBits",
  "QLinearConv": "QLinearConv",
  "ConvInteger": "ConvInteger",
  "QGemm": "QGemm",
  "QAttention": "QAttention",
  "DynamicQuantizeLSTM": "DynamicQuantizeLSTM",
};

const names = Object.keys(OPERATORS) as OperatorName[];
const lines = new Map<string, Line>(), ends = new Map<string, string>();
let folder: string;

/** Has children run models, each until it ends; the next one goes on after the model that ended it. */
async function runAll(folder: string, models: readonly OperatorName[]): Promise<void> {
  for (let rest = models; rest.length > 0;) {
    const { code, stdout, stderr } = await runChild(SCRIPT, [folder, ...rest]);
    const told: Line[] = stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
    for (const line of told) lines.set(line.name, line);
    const ended = rest[told.length];
    if (ended !== undefined) ends.set(ended, `the process ended with ${code}: ${stderr}`);
    rest = rest.slice(told.length + 1);
  }
}

/** What was found of a model. */
function line(name: OperatorName): Line {
  return lines.get(name) ?? assert.fail(ends.get(name));
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "coload-operators-"));
  await Promise.all(Array.from({ length: CHILDREN }, (_, child) => {
    return runAll(join(folder, `${child}`), names.filter((_, i) => i % CHILDREN === child));
  }));
}, { timeout: 120_000 });

after(() => rmSync(folder, { recursive: true, force: true }));

for (const name of names) {
  describe(name, () => {
    const why = NOT_SHARED[name], instead = NOT_MAPPED[name];

    if (why !== undefined) {
      it("is not shared, which its session says", () => {
        const { prepacked, mapped } = line(name), sharing = { mode: "off", reason: why };
        assert.deepEqual([prepacked.sharing, mapped.sharing], [sharing, sharing]);
      });
      return;
    }

    it("computes the same to the bit when prepacked", () => {
      const { prepacked: { sharing, equal } } = line(name);
      assert.equal(sharing.mode, "prepacked", sharing.reason);
      assert.ok(equal);
    });

    it("shares all of its weights, also those that no run has read yet", () => {
      const { byteLength, prepacked: { sharing } } = line(name);
      const shared = Number(/^([\d.]+) MB in \//.exec(sharing.reason)?.[1]);
      assert.ok(shared >= MOST * byteLength / 1e6, `${sharing.reason} of ${byteLength} bytes`);
    });

    it("holds none of them for itself as its kernels want them", () => {
      const { prepacked: { ownBytes } } = line(name);
      assert.ok(ownBytes < OWN_BYTES, `${ownBytes} bytes`);
    });

    if (instead === undefined) {
      it("computes nearly the same when mapped", () => {
        const { mapped: { sharing, apart } } = line(name);
        assert.equal(sharing.mode, "mapped", sharing.reason);
        assert.ok(apart < (/float16/.test(name) ? COARSE : TOLERANCE), `${apart}`);
      });
    } else {
      it("is prepacked when it should be mapped, which would be slow", () => {
        const { mapped: { sharing, equal } } = line(name);
        assert.deepEqual([sharing.mode, equal], ["prepacked", true]);
        assert.match(sharing.reason, new RegExp(`^not mapped, for ${instead} computes many times slower`));
      });
    }
  });
}
