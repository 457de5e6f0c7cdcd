/** A small inference over HTTP, against a handler that does nothing behind the same server library. */
import type { Case } from "../support/cases.ts";
import { Child } from "../support/child.ts";
import { calling, contest, type Contestant, type Result } from "../support/contest.ts";
import { table } from "../support/report.ts";
import { separate } from "../lane/cores.ts";
import { row } from "../lane/results.ts";
import { type Answer, type Asked, type ClientKind, CLIENTS, openClient } from "./clients.ts";
import { keepPosting } from "./load.ts";
import { caseRequest, type Form, FORMS, type Server } from "./requests.ts";
import type { HttpWorker } from "./worker.ts";

const BAR = 2, WARM = 6000;

/** Starts the empty handler, which answers what a server has answered. Where it listens. */
export async function startEmpty(child: Child, answers: Readonly<Record<Form, Answer>>, keeps = 0): Promise<Server> {
  const constants = FORMS.map((form) => ({ headers: answers[form].headers, body: Array.from(answers[form].body) }));
  return { host: "127.0.0.1", port: await child.ask<number>("serve", ...constants, keeps) };
}

/** What a worker answers in each form. */
export async function answersOf(server: Server, model: Case): Promise<Readonly<Record<Form, Answer>>> {
  using client = openClient("node:net");
  const [json, binary] = [
    await client.post(caseRequest(server, model, "JSON")),
    await client.post(caseRequest(server, model, "binary")),
  ];
  return { JSON: json, binary };
}

/** Asks, and takes no answer but the one that is known. */
function asking(
  { name, kind, asked, known }: {
    readonly name: string;
    readonly kind: ClientKind;
    readonly asked: Asked;
    readonly known: Answer;
  },
  closing: DisposableStack,
): Contestant {
  const client = closing.use(openClient(kind));
  return calling(name, async () => {
    const { body } = await client.post(asked);
    if (body.length !== known.body.length) throw new Error(`${name}: ${body.length} bytes answered`);
  });
}

/** Measures and tells. */
export async function measureEmpty(add: Case, worker: HttpWorker): Promise<void> {
  using closing = new DisposableStack();
  const child = closing.use(new Child(new URL("../children/oip_empty.ts", import.meta.url)));
  const known = await answersOf(worker.server, add), empty = await startEmpty(child, known);
  for (const server of [empty, worker.server]) {
    await keepPosting(1, FORMS.map((form) => caseRequest(server, add, form)), { most: WARM });
  }
  const contestants = FORMS.flatMap((form) =>
    CLIENTS.flatMap((kind) =>
      [empty, worker.server].map((server) => {
        const name = `${server === empty ? "floor: empty handler" : "worker"}, ${form}, by ${kind}`;
        return asking({ name, kind, asked: caseRequest(server, add, form), known: known[form] }, closing);
      })
    )
  );
  for (const apart of [true, false]) {
    await separate([worker.child, child], apart);
    tell(await contest(contestants, 7, 250), apart ? "on cores of their own" : "where the system puts them");
  }
}

/** Each client asks the empty handler, then the worker: what it takes itself is in both. */
function tell(results: readonly Result[], where: string): void {
  const perForm = results.length / FORMS.length;
  for (const [i, form] of FORMS.entries()) {
    const ofForm = results.slice(i * perForm, (i + 1) * perForm);
    table(
      `Add over HTTP in ${form}, one connection, ${where}`,
      ofForm.map((result, j) =>
        j % 2 === 0 ? row(result) : row(result, { result: ofForm[j - 1]!, column: "x empty", atMost: BAR })
      ),
    );
  }
}
