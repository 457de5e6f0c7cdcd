import { operatorsOf } from "../ort/model_scan.ts";

/**
 * Operators that go through their floats in an order which no value changes: whatever a client writes there meanwhile,
 * they stay within their memory. TopK, NonZero, Unique and others like them do not: numbers that change while they are
 * sorted or counted led out of it.
 */
const FIXED_ORDER = new Set(
  [
    "Abs Add And AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvInteger",
    "ConvTranspose Cos Div Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm",
    "GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Identity If InstanceNormalization",
    "LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop MatMul MatMulInteger Max MaxPool Mean",
    "Min Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear DequantizeLinear DynamicQuantizeLinear RNN",
    "Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum",
    "ReduceSumSquare Relu Reshape Resize Round Scan Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus",
    "SpaceToDepth DepthToSpace Split Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Unsqueeze Upsample Where Xor",
    "QLinearConv QLinearMatMul SimplifiedLayerNormalization SkipLayerNormalization FastGelu BiasGelu FusedConv",
    "FusedMatMul RotaryEmbedding MatMulNBits RMSNormalization GroupNormalization EyeLike Trilu ScatterND Einsum",
  ].join(" ").split(" "),
);

/** Whether floats of a model's inputs may be read where the client can write. Otherwise they are copied before a run. */
export function readsInPlace(path: string): boolean {
  try {
    return operatorsOf(path).isSubsetOf(FIXED_ORDER);
  } catch {
    return false; // no ONNX file of a kind that can be looked into
  }
}
