import { encodeModel, floats, type GraphParts, int64s, intAttribute, node, value } from "./proto.ts";

const COPY: GraphParts = {
  inputs: [value("x", "float32", [2])],
  outputs: [value("y", "float32", [2])],
  nodes: [node("Identity", ["x"], ["y"])],
};

/** `twice`: `text` and then `text` again, both of dtype string, `["N"]` and `["M"]`. */
export function strings(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("text", "string", ["N"])],
    outputs: [value("twice", "string", ["M"])],
    nodes: [node("Concat", ["text", "text"], ["twice"], [intAttribute("axis", 0)])],
  });
}

/** `copy = text` (string `["N"]`) and `y = x + x` (float32 `["N"]`): strings and numbers in one model. */
export function stringsAndNumbers(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("text", "string", ["N"]), value("x", "float32", ["N"])],
    outputs: [value("copy", "string", ["N"]), value("y", "float32", ["N"])],
    nodes: [node("Identity", ["text"], ["copy"]), node("Add", ["x", "x"], ["y"])],
  });
}

/** `y = x * scale`, float32 `[2]`, where `scale` is an input that may be left out: the model holds `[10, 100]` for it. */
export function withInitializerInput(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", [2]), value("scale", "float32", [2])],
    outputs: [value("y", "float32", [2])],
    nodes: [node("Mul", ["x", "scale"], ["y"])],
  }, { initializers: [floats("scale", [2], [10, 100])] });
}

/** What {@link metadata} writes into its model. */
export const METADATA = {
  producerName: "coload-test-producer",
  producerVersion: "1.2.3",
  domain: "com.example.models",
  modelVersion: 42,
  description: "Copies x to y – für Tests",
  graphName: "graph",
  custom: { author: "Ada", labels: "cat,dog", empty: "" },
} as const;

/** `y = x`, float32 `[2]`, with every kind of metadata filled in, as {@link METADATA} says. */
export function metadata(): Uint8Array<ArrayBuffer> {
  const { producerName, producerVersion, domain, modelVersion, description: docString } = METADATA;
  const metadataProps = Object.entries(METADATA.custom).map(([key, value]) => ({ key, value }));
  return encodeModel(COPY, {
    header: { producerName, producerVersion, domain, modelVersion, docString, metadataProps },
  });
}

/** `y = x` in an operator set that no runtime knows, 9999: creating its session fails. */
export function unsupportedOpset(): Uint8Array<ArrayBuffer> {
  return encodeModel(COPY, { opset: 9999 });
}

/** `y = NoSuchOp(x)` of the domain `com.example`: creating its session fails. */
export function unsupportedOperator(): Uint8Array<ArrayBuffer> {
  const nodes = [node("NoSuchOp", ["x"], ["y"], [], "com.example")];
  return encodeModel({ ...COPY, nodes }, { domains: { "com.example": 1 } });
}

/** `y = x`, both float8e4m3fn `[2]`: a valid model of a dtype that is none of {@link DTYPES}. IR version 9, opset 19. */
export function unsupportedDtype(): Uint8Array<ArrayBuffer> {
  const float8 = (name: string): GraphParts["inputs"][number] => ({
    name,
    type: { tensorType: { elemType: 17, shape: { dim: [{ dimValue: 2 }] } } },
  });
  return encodeModel({ ...COPY, inputs: [float8("x")], outputs: [float8("y")] }, {
    opset: 19,
    header: { irVersion: 9 },
  });
}

/** Loads, but fails to run unless N is 3: `x`, float32 `["N"]`, is reshaped to `[3]`. */
export function failingRun(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", ["N"])],
    outputs: [value("y", "float32", [3])],
    nodes: [node("Reshape", ["x", "shape"], ["y"])],
  }, { initializers: [int64s("shape", [1], [3])] });
}
