/**
 * Where somebody speaks in a recording, by Python and TypeScript on the same memory: NumPy cuts it into frames and
 * computes their loudness, silero_vad hears them in onnxruntime, and matplotlib draws both into a picture.
 *
 *     COLOAD_PYTHON=.venv deno run -A demo/python.ts [speech.wav] [speech.png]
 *
 * The Python has numpy and matplotlib: `python3 -m venv .venv && .venv/bin/pip install numpy matplotlib`.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { models, Tensor } from "../mod.ts";
import { Python, type PythonValue } from "../src/python/mod.ts";

const SPEECH = fileURLToPath(new URL("./assets/speech.wav", import.meta.url));
const PICTURE = fileURLToPath(new URL("./out/python.png", import.meta.url));
const SILERO = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));

/** What is done in Python. The frames overlap, and are not copied: they are a view of the samples. */
const CODE = `
import wave, numpy as np
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

STEP, CONTEXT = 512, 64  # 32 ms at 16 kHz, which the model hears at once, after the end of what was before

def read(path):
    with wave.open(path) as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        assert width == 2, "16-bit samples wanted"
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, channels)
    mono = samples.mean(axis=1, dtype=np.float32) / 32768
    times = np.arange(0, len(mono), rate / 16000)
    return np.interp(times, np.arange(len(mono)), mono).astype(np.float32)

def frames_of(samples):
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples])
    return np.lib.stride_tricks.sliding_window_view(padded, (CONTEXT + STEP,))[::STEP, np.newaxis]

def loudness_of(frames):
    return 10 * np.log10((frames ** 2).mean(axis=(1, 2)) + 1e-10)

def draw(samples, loudness, speech, path):
    figure, (top, middle, bottom) = plt.subplots(3, sharex=True, figsize=(10, 6), layout="constrained")
    top.plot(np.arange(len(samples)) / 16000, samples, linewidth=0.4)
    top.set_ylabel("sound")
    at = (np.arange(len(loudness)) + 0.5) * STEP / 16000
    middle.plot(at, loudness, color="tab:green")
    middle.set_ylabel("loudness, dB")
    bottom.fill_between(at, speech.reshape(-1), step="mid", color="tab:orange")
    bottom.set(ylabel="speech", xlabel="seconds", ylim=(0, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)
`;

/** The probability of speech in each frame, which the model writes into an array of NumPy's. */
async function hear(python: Python, frames: PythonValue, speech: Tensor): Promise<void> {
  using vad = await models.load(SILERO);
  using state = Tensor.zeros("float32", [2, 1, 128], { storage: "native" });
  using next = Tensor.zeros("float32", [2, 1, 128], { storage: "native" });
  using rate = Tensor.zeros("int64", [], { storage: "native" });
  rate.data[0] = 16000n;
  using probabilities = python.toNumPy(speech);
  for (let i = 0; i < speech.size; i++) {
    using frame = frames.at(i), probability = probabilities.at(i); // views of NumPy's
    using input = python.fromPython(frame), output = python.fromPython(probability); // of the same memory
    const [before, after] = i % 2 === 0 ? [state, next] : [next, state];
    await vad.run({ input, state: before, sr: rate }, { outputs: { output, stateN: after } });
  }
}

async function main([sound = SPEECH, picture = PICTURE]: readonly string[]): Promise<void> {
  const python = Python.open();
  python.exec(CODE);
  using read = python.eval("read"), samples = read.call([path.resolve(sound)]);
  using framesOf = python.eval("frames_of"), frames = framesOf.call([samples]);
  using loudnessOf = python.eval("loudness_of"), loudness = loudnessOf.call([frames]), count = loudness.get("size");
  using speech = Tensor.zeros("float32", [count.toJS() as number, 1, 1], { storage: "native" });
  await hear(python, frames, speech);
  await mkdir(path.dirname(path.resolve(picture)), { recursive: true });
  using draw = python.eval("draw"), drawn = python.toNumPy(speech);
  draw.call([samples, loudness, drawn, path.resolve(picture)])[Symbol.dispose]();
  const heard = speech.data.filter((probability) => probability > 0.5).length;
  console.log(`speech in ${heard} of ${speech.size} frames of 32 ms, drawn into ${picture}`);
}

if (import.meta.main) await main(process.argv.slice(2));
