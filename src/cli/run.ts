import { Command, Option } from "commander";
import { dimension, named, shape } from "./named_arguments.ts";
import { divisors, type Flags, number, numbers, output, positive } from "./run/flags.ts";
import { runModel } from "./run/run_model.ts";

/** Classes that `--top` shows. */
const TOP = 5;

const EXAMPLES = `
Inputs are .npy, .json, .wav, .png and .jpg files, - for standard input (npy, JSON, WAV or a picture), JSON literals
such as sr=16000 or x=[[1,2],[3,4]], and zeros. JSON is a value, nested arrays, or { dtype, shape, data }; NaN, Infinity
and -Infinity are written as strings in it, here and in what comes out, and whole numbers keep all their digits.

Examples:
  coload run model.onnx --describe
  coload run classifier.onnx cat.jpg --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --top
  coload run add.onnx --input a=[1,2] --input b=b.npy --output c=c.npy
  coload run silero_vad.onnx speech.wav --rate 16000 --window 512 \\
      --input sr=16000 --state state=stateN --shape state=2,1,128`;

/** `coload run`: runs a model on files. */
export function runCommand(onEnd: (exitCode: number) => void): Command {
  return new Command("run")
    .summary("run a model on npy, JSON, WAV and picture files")
    .description(
      "Run a model once, or window by window over a sound, and say what comes out. Without inputs it says what the " +
        "model wants. What is given is checked against that, and never converted so that it loses something, unless " +
        "it is asked for.",
    )
    .argument("<model>", "path of an .onnx file; with --endpoint the name of a worker's model")
    .argument("[file]", "feeds the one input that nothing else is said of")
    .option("--describe", "say what the model wants and gives, and run nothing")
    .option(
      "--input <name=source>",
      "a file, -, a JSON literal, or zeros; may be repeated",
      named("A name and a source wanted, such as x=x.npy."),
    )
    .option(
      "--output <name[=file]>",
      "an output to show, or write to a .npy or .json file; may be repeated; all by default",
      output,
    )
    .option("--dim <name=size>", "size of an open dimension, for zeros and pictures; may be repeated", dimension)
    .option(
      "--shape <name=sizes>",
      "shape of an input, such as x=1,3,640,640; elements of another shape take it; may be repeated",
      shape,
    )
    .option("--cast", "convert elements to the model's dtype though digits are lost")
    .option("--rate <hertz>", "sounds: resample to it", positive)
    .option("--channel <number>", "sounds: take this channel, from 1 on; the mean of all by default", positive)
    .option("--window <samples>", "sounds: run over the sound, so many samples at a time; a line for each", positive)
    .option("--hop <samples>", "samples from one window to the next; a window's length by default", positive)
    .option(
      "--state <input=output>",
      "feed an output back in at the next window, zeros at first; may be repeated",
      named("An input and an output wanted, such as state=stateN."),
    )
    .addOption(
      new Option("--layout <layout>", "pictures: where channels are, if the shape does not say it")
        .choices(["NCHW", "NHWC"]),
    )
    .addOption(
      new Option("--resize <how>", "pictures: distorted, the middle alone, or whole between bars")
        .choices(["stretch", "crop", "pad"]).default("stretch"),
    )
    .addOption(
      new Option("--scale <factor>", "pictures: what bytes are multiplied by for floats")
        .argParser(number).default(1 / 255, "1/255"),
    )
    .option("--mean <numbers>", "pictures: subtracted after that, one number or one for each channel", numbers)
    .option("--std <numbers>", "pictures: divided by after that", divisors)
    .option("--bgr", "pictures: blue first")
    .addOption(
      new Option("--top [count]", "show the highest of a vector of scores").argParser(positive).preset(TOP),
    )
    .option("--force", "replace files that are there")
    .option("--endpoint <endpoint>", "run it in a worker, such as unix:/run/models.sock")
    .option("--model-version <version>", "version of the worker's model")
    .option("--json", "for programs to read: a line for each run, { output: { dtype, shape, data } }")
    .addHelpText("after", EXAMPLES)
    .action(async (model: string, file: string | undefined, flags: Flags, command: Command) => {
      if (flags.window === undefined && (flags.hop !== undefined || flags.state !== undefined)) {
        command.error("error: --hop and --state are for --window (--help says more)");
      }
      if (flags.modelVersion !== undefined && flags.endpoint === undefined) {
        command.error("error: --model-version is for --endpoint (--help says more)");
      }
      onEnd(await runModel(model, file, flags));
    });
}
