import type { BatchAxes } from "../batch_axes.ts";
import { requestExtent } from "../batch_blocks.ts";
import { bytesOf } from "./batch.ts";
import type { ExampleTensor, FromExecutor } from "./messages.ts";
import type { Plan } from "./plan.ts";

/** Inputs that a batch has once are compared by their bytes, if these are few. */
const MOST_SAME_BYTES = 256;

const hexadecimal = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Which requests of a model are joined: those of a kind for which it was proven. */
export class Joining {
  readonly #axes: BatchAxes;
  readonly #model: number;
  readonly #epoch: number;
  readonly #tell: (message: FromExecutor) => void;
  /** By kind, whether it is proven; `undefined` while that is looked into. */
  readonly #kinds = new Map<string, boolean | undefined>();
  readonly #rows = new WeakMap<Plan, { readonly rows: number; readonly shapes: string } | undefined>();

  constructor(axes: BatchAxes, model: number, epoch: number, tell: (message: FromExecutor) => void) {
    this.#axes = axes;
    this.#model = model;
    this.#epoch = epoch;
    this.#tell = tell;
  }

  /** Takes in whether requests of a kind can be joined. */
  prove(kind: string, isJoinable: boolean): void {
    this.#kinds.set(kind, isJoinable);
  }

  /** The kind of a request and how many rows it has, if it can be joined with others of its kind. */
  of(plan: Plan): { readonly kind: string; readonly rows: number } | undefined {
    const extent = this.#extentOf(plan);
    if (extent === undefined || plan.request.sequence !== undefined) return undefined;
    const same = plan.inputs.filter(({ port }) => this.#axes.inputs[port.name] === "same");
    if (same.some(({ byteLength }) => byteLength > MOST_SAME_BYTES)) return undefined;
    const kind = `${extent.shapes};${same.map((input) => hexadecimal(bytesOf(input))).join()}`;
    const isProven = this.#kinds.get(kind);
    if (isProven === undefined && !this.#kinds.has(kind)) this.#ask(kind, plan);
    return isProven ? { kind, rows: extent.rows } : undefined;
  }

  #extentOf(plan: Plan): { readonly rows: number; readonly shapes: string } | undefined {
    if (this.#rows.has(plan)) return this.#rows.get(plan);
    const shapes = Object.fromEntries(plan.inputs.map(({ port, shape }) => [port.name, shape]));
    const rows = plan.once ? undefined : requestExtent(this.#axes.inputs, shapes);
    const extent = rows === undefined ? undefined : { rows, shapes: this.#shapesOf(plan) };
    this.#rows.set(plan, extent);
    return extent;
  }

  #shapesOf({ inputs, outputs }: Plan): string {
    const shapes = inputs.map(({ port, shape }) => {
      const axis = this.#axes.inputs[port.name];
      return `${port.name}:${shape.map((size, i) => i === axis ? "*" : size).join("x")}`;
    });
    return `${shapes.join()}>${outputs.map(({ index }) => index).join()}`;
  }

  #ask(kind: string, { inputs }: Plan): void {
    this.#kinds.set(kind, undefined);
    const example = inputs.map((input): ExampleTensor => ({
      name: input.port.name,
      elementType: input.port.elementType,
      shape: [...input.shape],
      bytes: bytesOf(input).slice() as Uint8Array<ArrayBuffer>,
    }));
    this.#tell({ kind: "unproven", model: this.#model, epoch: this.#epoch, key: kind, example });
  }
}
