/**
 * ONNX models made on the spot, small ones as bytes and large ones as files, so that nothing large is committed.
 * All are operator set 17 and IR version 8 unless they say otherwise.
 */
export * from "./models/basic.ts";
export * from "./models/containers.ts";
export type { OperatorInput, OperatorModel } from "./models/operator_graph.ts";
export * from "./models/operators.ts";
export type { ModelDtype, ModelShape } from "./models/proto.ts";
export { DTYPES } from "./models/proto.ts";
export * from "./models/slow.ts";
export * from "./models/special.ts";
export * from "./models/weights.ts";
