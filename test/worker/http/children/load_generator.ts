/**
 * Sends one request over and over on several connections, by a load generator of npm, and prints as JSON what became of
 * them: `load_generator.ts OPTIONS`.
 *
 * @module
 */
import autocannon from "autocannon";
import process from "node:process";

/** What to send, how often. */
export interface Load {
  readonly url: string;
  readonly connections: number;
  readonly amount: number;
  readonly headers: Readonly<Record<string, string>>;
  /** In base64. */
  readonly body: string;
  /** What every answer is, in base64. */
  readonly wanted: string;
}

/** How many answers of each kind there were. */
export interface Answered {
  readonly right: number;
  /** Of another status or another body; without an answer. */
  readonly wrong: number;
  readonly failed: number;
}

/** Measures it. */
async function send({ url, connections, amount, headers, body, wanted }: Load): Promise<Answered> {
  const bytes = Buffer.from(wanted, "base64");
  const found = await autocannon({
    url,
    connections,
    amount,
    method: "POST",
    headers: { ...headers },
    body: Buffer.from(body, "base64"),
    verifyBody: (text: string) => text === bytes.toString(),
    timeout: 30,
  });
  const { non2xx, mismatches, errors, timeouts } = found, wrong = non2xx + mismatches;
  return { right: found["2xx"] - mismatches, wrong, failed: errors + timeouts };
}

if (import.meta.main) {
  console.log(JSON.stringify(await send(JSON.parse(process.argv[2]!))));
  process.exit(0);
}
