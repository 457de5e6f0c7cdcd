import { BRANCHES } from "./operator_branches.ts";
import { type Generator, OperatorGraph, type OperatorModel, wide } from "./operator_graph.ts";

/** Widths of layers whose matrices are just under and just over 1 MB, from where on onnxruntime aligns them itself. */
const widths = (factor: number): number[] => [521, 503, 547, 521].map((width) => wide(width, factor));

const pairs = (values: readonly number[]): [number, number][] => values.slice(1).map((to, i) => [values[i]!, to]);

type Layer = (graph: OperatorGraph, x: string, from: number, to: number) => string;

/** Layers one after the other: `x` and `y` are `["batch", width]`. */
function chain(
  sizes: readonly number[],
  layer: Layer,
  dtype: "float32" | "float16" | "float64" = "float32",
): OperatorModel {
  const graph = new OperatorGraph(), x = graph.input("x", dtype, ["batch", sizes[0]!]);
  const y = pairs(sizes).reduce((before, [from, to]) => layer(graph, before, from, to), x);
  return graph.output(y, dtype, ["batch", sizes.at(-1)!]).model();
}

const matMul: Layer = (graph, x, from, to) => graph.add("MatMul", [x, graph.weight([from, to])]);

/** Quantized and back, as tools for quantization write it. */
function quantized(graph: OperatorGraph, x: string): string {
  const range = [graph.constant("float32", [], [0.04]), graph.constant("uint8", [], [128])];
  return graph.add("DequantizeLinear", [graph.add("QuantizeLinear", [x, ...range]), ...range]);
}

function dequantized(graph: OperatorGraph, dims: number[]): string {
  const range = [graph.constant("float32", [], [0.001]), graph.constant("int8", [], [0])];
  return graph.add("DequantizeLinear", [graph.weight(dims, "int8"), ...range]);
}

function nBits(accuracy: number): Generator {
  return (factor) =>
    chain([991, 1361, 997].map((width) => wide(width, factor)), (graph, x, from, to) => {
      const blocks = Math.ceil(from / 32),
        scales = graph.constant("float32", [to * blocks], Array(to * blocks).fill(0.01));
      return graph.own("MatMulNBits", [x, graph.weight([to, blocks, 16], "uint8"), scales], {
        K: from,
        N: to,
        bits: 4,
        block_size: 32,
        accuracy_level: accuracy,
      });
    });
}

/** LSTM has 4 gates, GRU 3. */
function recurrent(opType: "LSTM" | "GRU", gates: number): Generator {
  return (factor) => {
    const graph = new OperatorGraph(), width = wide(199, factor), hidden = wide(211, factor);
    const x = graph.input("x", "float32", ["sequence", "batch", width]);
    const weights = [[2, gates * hidden, width], [2, gates * hidden, hidden], [2, 2 * gates * hidden]];
    const y = graph.add(opType, [x, ...weights.map((dims) => graph.weight(dims))], {
      hidden_size: hidden,
      direction: "bidirectional",
    });
    return graph.output(y, "float32", ["sequence", 2, "batch", hidden]).model();
  };
}

/** `[output channels, size of the kernel, groups]` of each convolution; their sizes stay as `x` is. */
function convolutions(channels: number, layers: readonly (readonly [number, number, number?])[]): OperatorModel {
  const graph = new OperatorGraph();
  let y = graph.input("x", "float32", ["batch", channels, "height", "width"]), from = channels;
  for (const [to, kernel, group = 1] of layers) {
    const weights = [graph.weight([to, from / group, kernel, kernel]), graph.weight([to])];
    y = graph.add("Relu", [graph.add("Conv", [y, ...weights], { auto_pad: "SAME_UPPER", group })]);
    from = to;
  }
  return graph.output(y, "float32", ["batch", from, "height", "width"]).model();
}

/** A quantized tensor's scale and zero point. */
const range = (graph: OperatorGraph, scale: number, dtype: "uint8" | "int8", zero: number): string[] => [
  graph.constant("float32", [], [scale]),
  graph.constant(dtype, [], [zero]),
];

/** Models of operators whose weights onnxruntime lays out for computing, each in its own way, or not at all. */
export const OPERATORS = {
  "MatMul": (factor) => chain(widths(factor), matMul),
  "MatMul, many small": (factor) =>
    chain(Array.from({ length: 90 * factor + 1 }, (_, i) => i % 2 === 0 ? 73 : 79), matMul),
  "MatMul, each under 16 KB": (factor) =>
    chain(Array.from({ length: 300 * factor + 1 }, (_, i) => i % 2 === 0 ? 37 : 41), matMul),
  "MatMul, one weight for two": (factor) => {
    const graph = new OperatorGraph(), width = wide(521, factor), x = graph.input("x", "float32", ["batch", width]);
    const weight = graph.weight([width, width]);
    const y = graph.add("MatMul", [graph.add("Tanh", [graph.add("MatMul", [x, weight])]), weight]);
    return graph.output(y, "float32", ["batch", width]).model();
  },
  "MatMul, transposed": (factor) =>
    chain(widths(factor), (graph, x, from, to) => {
      return graph.add("MatMul", [x, graph.add("Transpose", [graph.weight([to, from])], { perm: [1, 0] })]);
    }),
  "MatMul, three dimensions": (factor) => {
    const graph = new OperatorGraph(), [a, b] = [wide(251, factor), wide(257, factor)];
    const x = graph.input("x", "float32", [7, "batch", a]);
    return graph.output(graph.add("MatMul", [x, graph.weight([7, a, b])]), "float32", [7, "batch", b]).model();
  },
  "MatMul, float64": (factor) =>
    chain(
      widths(factor),
      (graph, x, from, to) => graph.add("MatMul", [x, graph.weight([from, to], "float64")]),
      "float64",
    ),
  "MatMul, float16": (factor) =>
    chain(
      [733, 719, 739].map((width) => wide(width, factor)),
      (graph, x, from, to) => graph.add("MatMul", [x, graph.weight([from, to], "float16")]),
      "float16",
    ),
  "MatMul, bfloat16 weights": (factor) =>
    chain(
      widths(factor),
      (graph, x, from, to) =>
        graph.add("MatMul", [x, graph.add("Cast", [graph.weight([from, to], "bfloat16")], { to: 1 })]),
    ),
  "MatMul and noise": (factor) => {
    const graph = new OperatorGraph(), width = wide(521, factor), x = graph.input("x", "float32", ["batch", width]);
    const y = graph.add("MatMul", [x, graph.weight([width, width])]);
    const noisy = graph.add("Add", [y, graph.add("RandomNormalLike", [y])]);
    return graph.output(noisy, "float32", ["batch", width]).model();
  },
  "Gemm": (factor) =>
    chain(
      widths(factor),
      (graph, x, from, to) => graph.add("Gemm", [x, graph.weight([to, from]), graph.weight([to])], { transB: 1 }),
    ),
  "MatMul, quantized": (factor) =>
    chain(
      [1031, 1019, 1033, 1021].map((width) => wide(width, factor)),
      (graph, x, from, to) =>
        quantized(graph, graph.add("MatMul", [quantized(graph, x), dequantized(graph, [from, to])])),
    ),
  "MatMul, dynamically quantized": (factor) =>
    chain([1031, 1019, 1033, 1021].map((width) => wide(width, factor)), (graph, x, from, to) => {
      const q = graph.add("DynamicQuantizeLinear", [x], {}, { outputs: 3 }),
        scale = graph.constant("float32", [], [0.001]);
      const weight = [graph.weight([from, to], "int8"), `${q}_2`, graph.constant("int8", [], [0])];
      const y = graph.add("Cast", [graph.add("MatMulInteger", [q, ...weight])], { to: 1 });
      return graph.add("Mul", [y, graph.add("Mul", [`${q}_1`, scale])]);
    }),
  "MatMulNBits": nBits(0),
  "MatMulNBits, int8": nBits(4),
  "LSTM": recurrent("LSTM", 4),
  "GRU": recurrent("GRU", 3),
  "Attention": (factor) => {
    const graph = new OperatorGraph(), width = wide(389, factor), hidden = 11 * wide(31, factor);
    const x = graph.input("x", "float32", ["batch", "sequence", width]);
    const weights = [graph.weight([width, 3 * hidden]), graph.weight([3 * hidden])];
    const y = graph.own("Attention", [x, ...weights], { num_heads: 11 });
    return graph.output(y, "float32", ["batch", "sequence", hidden]).model();
  },
  "Conv": (factor) => {
    const [a, b, c] = [wide(61, factor), wide(67, factor), wide(113, factor)];
    return convolutions(3, [[a, 3], [b, 5], [b, 5, b], [a, 1], [c, 7]]);
  },
  "Conv, channels in blocks": (factor) => {
    const width = 16 * Math.round(8 * Math.sqrt(factor));
    return convolutions(3, [[32, 3], [width, 3], [width, 5, width], [width, 1], [2 * width, 3]]);
  },
  "Conv, one dimension": (factor) => {
    const graph = new OperatorGraph(), [from, to] = [wide(257, factor), wide(263, factor)];
    const x = graph.input("x", "float32", ["batch", from, "length"]);
    const y = graph.add("Conv", [x, graph.weight([to, from, 5])], { auto_pad: "SAME_UPPER" });
    return graph.output(y, "float32", ["batch", to, "length"]).model();
  },
  "ConvTranspose": (factor) => {
    const graph = new OperatorGraph(), [a, b] = [wide(131, factor), wide(137, factor)];
    const x = graph.input("x", "float32", ["batch", a, "height", "width"]), options = { strides: [2, 2] };
    const middle = graph.add("ConvTranspose", [x, graph.weight([a, b, 4, 4]), graph.weight([b])], options);
    const y = graph.add("ConvTranspose", [middle, graph.weight([b, a, 3, 3])], options);
    return graph.output(y, "float32", ["batch", a, "high", "wide"]).model();
  },
  "QLinearConv": (factor) => {
    const graph = new OperatorGraph(), width = wide(131, factor), layers = [width, width - 4, width + 2, width];
    const x = graph.input("x", "uint8", ["batch", width, "height", "width"]);
    const y = pairs(layers).reduce((before, [from, to]) => {
      const parts = [...range(graph, 0.01, "uint8", 127), graph.weight([to, from, 5, 5], "int8")];
      parts.push(...range(graph, 0.002, "int8", 0), ...range(graph, 0.5, "uint8", 127));
      return graph.add("QLinearConv", [before, ...parts], { auto_pad: "SAME_UPPER" });
    }, x);
    return graph.output(y, "uint8", ["batch", width, "height", "width"]).model();
  },
  "ConvInteger": (factor) => {
    const graph = new OperatorGraph(), [from, to] = [wide(257, factor), wide(263, factor)];
    const x = graph.input("x", "uint8", ["batch", from, "height", "width"]);
    const zeros = [120, 130].map((zero) => graph.constant("uint8", [], [zero]));
    const y = graph.add("ConvInteger", [x, graph.weight([to, from, 5, 5], "uint8"), ...zeros], {
      auto_pad: "SAME_UPPER",
    });
    return graph.output(y, "int32", ["batch", to, "height", "width"]).model();
  },
  "Gather": (factor) => {
    const graph = new OperatorGraph(), [rows, width] = [wide(4099, factor), wide(127, factor)];
    const ids = graph.input("ids", "int64", ["batch", "sequence"], rows);
    const y = graph.add("MatMul", [
      graph.add("Gather", [graph.weight([rows, width]), ids]),
      graph.weight([width, 131]),
    ]);
    return graph.output(y, "float32", ["batch", "sequence", 131]).model();
  },
  "Gather and MatMul, one weight": (factor) => {
    const graph = new OperatorGraph(), [rows, width] = [wide(4099, factor), wide(127, factor)];
    const ids = graph.input("ids", "int64", ["batch", "sequence"], rows), table = graph.weight([rows, width]);
    const back = graph.add("Transpose", [table], { perm: [1, 0] });
    const y = graph.add("MatMul", [graph.add("Gather", [table, ids]), back]);
    return graph.output(y, "float32", ["batch", "sequence", rows]).model();
  },
  "EmbedLayerNormalization": (factor) => {
    const graph = new OperatorGraph(), [rows, width] = [wide(2003, factor), wide(383, factor)];
    const ids = graph.input("ids", "int32", ["batch", "sequence"], rows);
    const segments = graph.input("segments", "int32", ["batch", "sequence"], 2);
    const tables = [[rows, width], [64, width], [2, width], [width], [width]].map((dims) => graph.weight(dims));
    const embedded = graph.own("EmbedLayerNormalization", [ids, segments, ...tables], {}, 2);
    const norm = graph.add("LayerNormalization", [embedded, graph.weight([width]), graph.weight([width])]);
    const flat = graph.add("Reshape", [norm, graph.constant("int64", [2], [-1, width])]);
    const y = graph.add("Gemm", [flat, graph.weight([width, width + 4]), graph.weight([width + 4])]);
    return graph.output(y, "float32", ["tokens", width + 4]).model();
  },
  "QGemm": (factor) => {
    const graph = new OperatorGraph(), [from, to] = [wide(1031, factor), wide(1033, factor)];
    const parts = [graph.input("x", "uint8", ["batch", from]), ...range(graph, 0.02, "uint8", 128)];
    parts.push(graph.weight([from, to], "int8"), ...range(graph, 0.002, "int8", 0), "");
    return graph.output(graph.own("QGemm", [...parts, ...range(graph, 0.5, "uint8", 128)]), "uint8", ["batch", to])
      .model();
  },
  "QAttention": (factor) => {
    const graph = new OperatorGraph(), width = wide(389, factor), hidden = 11 * wide(93, factor);
    const x = graph.input("x", "uint8", ["batch", "sequence", width]);
    const [scale, zero] = range(graph, 0.02, "uint8", 128), [other, none] = range(graph, 0.002, "int8", 0);
    const weights = [
      graph.weight([width, 3 * hidden], "int8"),
      graph.weight([3 * hidden]),
      scale!,
      other!,
      "",
      zero!,
      none!,
    ];
    const y = graph.own("QAttention", [x, ...weights], { num_heads: 11 });
    return graph.output(y, "float32", ["batch", "sequence", hidden]).model();
  },
  "DynamicQuantizeLSTM": (factor) => {
    const graph = new OperatorGraph(), width = wide(401, factor), hidden = wide(403, factor);
    const x = graph.input("x", "float32", ["sequence", "batch", width]), empty = ["", "", "", ""];
    const weights = [width, hidden].map((from) => graph.weight([1, from, 4 * hidden], "int8"));
    const scales = [0, 1].flatMap(() => [graph.constant("float32", [1], [0.002]), graph.constant("int8", [1], [0])]);
    const parts = [x, ...weights, graph.weight([1, 8 * hidden]), ...empty, ...scales];
    const y = graph.own("DynamicQuantizeLSTM", parts, { hidden_size: hidden });
    return graph.output(y, "float32", ["sequence", 1, "batch", hidden]).model();
  },
  "MoE": (factor) => {
    const graph = new OperatorGraph(), width = wide(127, factor), inner = wide(257, factor), experts = 7;
    const x = graph.input("x", "float32", ["batch", width]),
      router = graph.input("router", "float32", ["batch", experts]);
    const shapes = [[experts, inner, width], [experts, inner], [experts, width, inner], [experts, width]];
    const weights = shapes.map((dims) => graph.weight(dims));
    const y = graph.own("MoE", [x, router, ...weights], { k: 2, activation_type: "relu" });
    return graph.output(y, "float32", ["batch", width]).model();
  },
  ...BRANCHES,
} satisfies Record<string, Generator>;

/** The name of one of these models. */
export type OperatorName = keyof typeof OPERATORS;
