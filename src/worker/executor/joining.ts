import type { BatchAxes } from "../batch_axes.ts";
import { requestExtent } from "../batch_blocks.ts";
import { bytesOf } from "./batch.ts";
import type { ExampleTensor, FromExecutor } from "./messages.ts";
import type { Plan } from "./plan.ts";

/** Inputs that a batch has once are compared by their bytes, if these are few. */
const MOST_SAME_BYTES = 256;

/** Kinds that are looked into: a client that brings ever new ones is not served faster. */
const MOST_KINDS = 256;

/** What a plan brings into a batch. */
interface Extent {
  readonly rows: number;
  /** Inputs that a batch has once, and what they were. */
  readonly same: Plan["inputs"];
  copy: Uint8Array[] | undefined;
  kind: string | undefined;
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

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
  readonly #extents = new WeakMap<Plan, Extent | undefined>();

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
    const kind = this.#kindOf(plan, extent), isProven = this.#kinds.get(kind);
    if (isProven === undefined && !this.#kinds.has(kind) && this.#kinds.size < MOST_KINDS) this.#ask(kind, plan);
    return isProven ? { kind, rows: extent.rows } : undefined;
  }

  /** The shapes, and the bytes of what a batch has once: as a text, made anew when these have changed. */
  #kindOf(plan: Plan, extent: Extent): string {
    const { same, copy } = extent,
      isOld = copy !== undefined && same.every((input, i) => isEqual(bytesOf(input), copy[i]!));
    if (isOld) return extent.kind!;
    extent.copy = same.map((input) => bytesOf(input).slice());
    return extent.kind = `${this.#shapesOf(plan)};${extent.copy.map(hexadecimal).join()}`;
  }

  #extentOf(plan: Plan): Extent | undefined {
    if (this.#extents.has(plan)) return this.#extents.get(plan);
    const shapes = Object.fromEntries(plan.inputs.map(({ port, shape }) => [port.name, shape]));
    const rows = plan.once ? undefined : requestExtent(this.#axes.inputs, shapes);
    const same = plan.inputs.filter(({ port }) => this.#axes.inputs[port.name] === "same");
    const isFine = rows !== undefined && same.every(({ byteLength }) => byteLength <= MOST_SAME_BYTES);
    const extent = isFine ? { rows, same, copy: undefined, kind: undefined } : undefined;
    this.#extents.set(plan, extent);
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
