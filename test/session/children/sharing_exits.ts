// Leaves a session that will give its memory back when idle, and says how long the process lived on: see ../arena_test.ts.
import process from "node:process";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { convolution } from "./sharing_models.ts";

const session = await InferenceSession.create(convolution(), { shareWeights: "off", shrinkArena: "idle" });
session.runSync({ x: Tensor.zeros("float32", [1, 16, 64, 64]) });
const start = performance.now();
process.on("exit", () => console.log(`ended after ${Math.round(performance.now() - start)} ms`));
console.log("ran");
