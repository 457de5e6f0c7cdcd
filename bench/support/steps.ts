/** Long things that onnxruntime does, which should not keep an event loop waiting. */
import { InferenceSession } from "../../mod.ts";
import { bigMatMul, slow } from "../../test/support/models.ts";
import { floats, slowFeeds } from "../../test/support/sessions.ts";

/** Three matrices of 49 MB. */
const SIZE = 3500;

/** Sessions to run, and a large model to load and to let go. */
export class Steps {
  readonly #slow: InferenceSession;
  readonly #matMul: InferenceSession;
  readonly #large: string;
  readonly #iterations: number;
  #loaded: InferenceSession | undefined;

  private constructor(slow: InferenceSession, matMul: InferenceSession, large: string, iterations: number) {
    this.#slow = slow;
    this.#matMul = matMul;
    this.#large = large;
    this.#iterations = iterations;
  }

  /**
   * @param large the path of a large model
   * @param iterations how long a run is
   */
  static async open(large: string, iterations: number): Promise<Steps> {
    return new Steps(
      await InferenceSession.create(slow()),
      await InferenceSession.create(bigMatMul(SIZE)),
      large,
      iterations,
    );
  }

  /** What can be done, in this order. */
  readonly all = {
    "run of many small nodes": async (): Promise<void> => {
      await this.#slow.run(slowFeeds(this.#iterations));
    },
    "run of one large node": async (): Promise<void> => {
      await this.#matMul.run({ x: floats([1], []) });
    },
    "load of 1.4 GB": async (): Promise<void> => {
      this.#loaded = await InferenceSession.create(this.#large);
    },
    "dispose of 1.4 GB": async (): Promise<void> => {
      await this.#loaded![Symbol.asyncDispose]();
    },
  };
}

/** How many iterations of the slow model take so long at least: by the quickest of some, as others use the machine too. */
export async function iterationsFor(ms: number): Promise<number> {
  await using session = await InferenceSession.create(slow());
  const iterations = 50,
    took = Array.from({ length: 6 }, () => {
      const started = performance.now();
      session.runSync(slowFeeds(iterations));
      return performance.now() - started;
    });
  return Math.ceil(iterations * ms / Math.min(...took));
}
