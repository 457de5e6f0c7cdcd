/**
 * A pipeline of nodes that know nothing of each other: each asks the registry for its models when it starts, and the
 * registry loads every model once, however many nodes ask, and even if all ask at the same moment.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { models } from "../mod.ts";
import type { DemoFiles } from "./files.ts";
import { decodePicture, type Picture, turn } from "./image.ts";
import { parseDictionary } from "./ocr/recognize.ts";
import { type Line, readText } from "./ocr/read.ts";
import { type Segment, speechProbabilities, speechSegments } from "./vad.ts";
import { decodeSpeech } from "./wav.ts";

/** What the listener found. */
export interface Heard {
  readonly samples: Float32Array;
  /** One for each 32 ms, 0 to 1. */
  readonly probabilities: Float32Array;
  readonly segments: readonly Segment[];
}

/** What a reader found. */
export interface Read {
  readonly name: string;
  readonly lines: readonly Line[];
}

/** What all nodes found; the readers are the picture as it is, upside down, and tilted. */
export interface Results {
  readonly heard: Heard;
  readonly readers: readonly Read[];
}

/** Finds speech in a WAV file. */
export async function listen(files: DemoFiles): Promise<Heard> {
  const samples = decodeSpeech(await readFile(files.speech));
  using session = await models.load(files.voiceActivity);
  const probabilities = await speechProbabilities(session, samples);
  return { samples, probabilities, segments: speechSegments(probabilities) };
}

/** Reads the text of a picture. */
export async function read(files: DemoFiles, picture: Picture): Promise<Line[]> {
  using detection = await models.load(files.detection);
  using direction = await models.load(files.direction);
  using recognition = await models.load(files.recognition);
  using handle = await models.getOrLoad(files.dictionary, loadDictionary);
  return await readText({ detection, direction, recognition, dictionary: handle.model }, picture);

  async function loadDictionary() {
    return { model: parseDictionary(await readFile(files.dictionary, "utf8")) };
  }
}

/** The views of the picture that the readers get. */
const views: readonly (readonly [name: string, degrees: number])[] = [
  ["as it is", 0],
  ["upside down", 180],
  ["tilted by 10 degrees", 10],
];

/** Starts all nodes at once and waits for them. */
export async function runPipeline(files: DemoFiles, onNode: (name: string) => void = () => {}): Promise<Results> {
  const picture = decodePicture(await readFile(files.picture));
  const done = <T>(name: string, node: Promise<T>) => node.then((result) => (onNode(name), result));
  const [heard, ...readers] = await Promise.all([
    done("speech", listen(files)),
    ...views.map(async ([name, degrees]): Promise<Read> => {
      const lines = await done(name, read(files, degrees === 0 ? picture : turn(picture, degrees)));
      return { name, lines };
    }),
  ]);
  return { heard, readers };
}

/** How many nodes the pipeline has. */
export const nodeCount: number = views.length + 1;
