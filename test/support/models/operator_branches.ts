import { type Generator, OperatorGraph, wide } from "./operator_graph.ts";

/** A value that the graph around knows, times a matrix: what a branch does. */
type Body = (graph: OperatorGraph) => string;

/** `y` is what either body makes of `x`, by the sign of the sum of `x`. */
function branch(
  graph: OperatorGraph,
  positive: string,
  width: number,
  bodies: readonly [OperatorGraph, Body][],
): string {
  const [yes, no] = bodies.map(([body, make]) => body.output(make(body), "float32", ["batch", width]));
  return graph.add("If", [positive], { then_branch: yes!, else_branch: no! });
}

/** A graph with `x`, float32 `["batch", width]`, and whether its sum is positive. */
function start(width: number): { graph: OperatorGraph; x: string; positive: string } {
  const graph = new OperatorGraph(), x = graph.input("x", "float32", ["batch", width]);
  const zero = graph.constant("float32", [], [0]);
  return { graph, x, positive: graph.add("Greater", [graph.add("ReduceSum", [x], { keepdims: 0 }), zero]) };
}

function either(inside: boolean, names: readonly [string, string] = ["then_", "else_longer_"]): Generator {
  return (factor) => {
    const width = wide(521, factor), { graph, x, positive } = start(width);
    const body: Body = (within) => within.add("MatMul", [x, (inside ? within : graph).weight([width, width])]);
    const bodies = names.map((name, i): [OperatorGraph, Body] => [new OperatorGraph(name, i + 2), body]);
    return graph.output(branch(graph, positive, width, bodies), "float32", ["batch", width]).model();
  };
}

function loop(inside: boolean): Generator {
  return (factor) => {
    const graph = new OperatorGraph(), width = wide(521, factor), x = graph.input("x", "float32", ["batch", width]);
    const body = new OperatorGraph("body_", 2);
    body.input("i", "int64", []);
    body.output(body.add("Identity", [body.input("go_on", "bool", [])]), "bool", []);
    const before = body.input("before", "float32", ["batch", width]);
    const weight = (inside ? body : graph).weight([width, width]);
    body.output(body.add("MatMul", [before, weight]), "float32", ["batch", width]);
    const count = graph.constant("int64", [], [3]), yes = graph.constant("bool", [], [1]);
    return graph.output(graph.add("Loop", [count, yes, x], { body }), "float32", ["batch", width]).model();
  };
}

/** Models whose weights lie in graphs within their nodes, or around these. */
export const BRANCHES = {
  "If, weights inside": either(true),
  "If, weights around": either(false),
  "If, other weights of one name inside": either(true, ["same_", "same_"]),
  "If within If, weights inside": (factor) => {
    const width = wide(521, factor), { graph, x, positive } = start(width);
    const multiply: Body = (within) => within.add("MatMul", [x, within.weight([width, width])]);
    const inner: Body = (within) =>
      branch(within, positive, width, [[new OperatorGraph("a_", 2), multiply], [new OperatorGraph("b_", 3), multiply]]);
    const y = branch(graph, positive, width, [[new OperatorGraph("c_"), inner], [
      new OperatorGraph("d_", 4),
      multiply,
    ]]);
    return graph.output(y, "float32", ["batch", width]).model();
  },
  "Loop, weights inside": loop(true),
  "Loop, weights around": loop(false),
  "Scan, weights inside": (factor) => {
    const graph = new OperatorGraph(), width = wide(521, factor), rows = 5;
    const x = graph.input("x", "float32", ["sequence", rows, width]), body = new OperatorGraph("body_", 2);
    const before = body.input("before", "float32", [rows, width]), each = body.input("each", "float32", [rows, width]);
    const product = body.add("MatMul", [body.add("Add", [before, each]), body.weight([width, width])]);
    body.output(product, "float32", [rows, width]).output(body.add("Tanh", [product]), "float32", [rows, width]);
    const first = graph.constant("float32", [rows, width], new Array<number>(rows * width).fill(0));
    const scan = graph.add("Scan", [first, x], { body, num_scan_inputs: 1 }, { outputs: 2 });
    return graph.output(`${scan}_1`, "float32", ["sequence", rows, width]).model();
  },
} satisfies Record<string, Generator>;
