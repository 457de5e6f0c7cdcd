// Takes tensors in every way there is, and says what it found at their ends: see ../shared_transfer.ts.
import { Buffer } from "node:buffer";
import { Tensor } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { type Ends, listen, type Receivers } from "../support/shared_link.ts";

const MOST_BYTES = 160 << 20;

const decoder = new TextDecoder();

function ends(data: Float32Array): Ends {
  return [data[0]!, data[data.length - 1]!];
}

const receivers: Receivers = {
  nothing: () => [0, 0],
  reference(bytes) {
    using tensor = Tensor.open(decoder.decode(bytes));
    return ends(tensor.as("float32").data);
  },
  raw: (bytes) => ends(new Float32Array(bytes.buffer, 0, bytes.length / 4)),
  serialized: (bytes) => ends(Tensor.fromBytes(bytes).as("float32").data),
  json(bytes) {
    const data = Buffer.from(JSON.parse(decoder.decode(bytes)).data, "base64");
    return ends(new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4));
  },
};

await answer({
  async listen(path: string): Promise<void> {
    await listen(path, MOST_BYTES, receivers);
  },
});
