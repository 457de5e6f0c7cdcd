import type { ValueInfo } from "../../ort/type_info.ts";
import type { Model } from "../../session/inference_session.ts";
import { table } from "./table.ts";
import { showSizes } from "./wanted.ts";

/** What a model wants and gives, in a table. */
export function describeModel({ inputs, outputs }: Pick<Model, "inputs" | "outputs">): string {
  const row = ({ name, kind, dtype, shape }: ValueInfo) => [name, dtype, kind === "tensor" ? showSizes(shape) : ""];
  const rows = [...inputs.map((info) => ["input", ...row(info)]), ...outputs.map((info) => ["output", ...row(info)])];
  return table(["", "name", "dtype", "shape"], rows);
}

/** The same for programs to read. */
export function modelJson(model: string, { inputs, outputs }: Pick<Model, "inputs" | "outputs">): string {
  return JSON.stringify({ model, inputs, outputs }, null, 2);
}
