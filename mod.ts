/**
 * One copy of every model on the machine: onnxruntime for Deno and Bun, called straight through FFI.
 *
 * @example
 * ```ts ignore
 * import { models, Tensor } from "@coload/onnx";
 *
 * using vad = await models.load("silero_vad.onnx"); // loaded once per process, whoever asks
 * using out = await vad.run({ input, state, sr }); // the event loop stays free
 * console.log(out.output.as("float32").data[0]);
 * ```
 *
 * @module
 */
export * from "./src/errors.ts";
export { InferenceSession } from "./src/session/inference_session.ts";
export { type Capabilities, capabilities } from "./src/ort/capabilities.ts";
export { type Configuration, configure } from "./src/ort/configuration.ts";
export { Tensor } from "./src/tensor/tensor.ts";
