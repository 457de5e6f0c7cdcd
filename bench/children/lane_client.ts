// A client that keeps a worker busy: see ../lane/load.ts.
import process from "node:process";
import { InferenceSession } from "../../mod.ts";
import { type ClientOptions, ModelClient } from "../../src/client/model_client.ts";
import { pinTo } from "../lane/cores.ts";
import { keepAsking, type Load, type LoadOptions, makeQuestions, type Question } from "../lane/load.ts";
import { answer } from "../support/child.ts";
import { type Case, THREADS } from "../support/cases.ts";

const clients = new Map<string, ModelClient>(), questions = new Map<string, readonly Question[]>();

await answer({
  pin: pinTo,
  pid: () => process.pid,
  async connect(socket: string, options: ClientOptions = {}): Promise<void> {
    clients.set(socket, await ModelClient.connect(socket, options));
  },
  /** Makes questions about a model, with this process's own answers. */
  async prepare(model: Case, seed: number): Promise<void> {
    await using session = await InferenceSession.create(model.path, { intraOpNumThreads: THREADS });
    questions.set(model.name, makeQuestions(session, model, seed));
  },
  /** Asks a worker that was connected to about a model that was prepared for. */
  async ask(socket: string, { name, outputs }: Case, options: LoadOptions): Promise<Load> {
    await using remote = await clients.get(socket)!.model(name);
    return await keepAsking(remote, questions.get(name)!, outputs.map(({ name }) => name), options);
  },
});
