/** Keeps a server busy by a number of connections. */
import { build, encodeIntoCompressedBase64 } from "hdr-histogram-js";
import type { Load } from "../lane/load.ts";
import { type Asked, openClient } from "./clients.ts";

const MOST_NS = 60e9;

/** Asks again and again by so many new connections, for so long, or until there were so many answers. */
export async function keepPosting(
  connections: number,
  asked: readonly Asked[],
  { seconds = Infinity, most = Infinity }: { readonly seconds?: number; readonly most?: number },
): Promise<Load> {
  using closing = new DisposableStack();
  const clients = Array.from({ length: connections }, () => closing.use(openClient("node:net")));
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MOST_NS,
    numberOfSignificantValueDigits: 3,
  });
  const lengths: (number | undefined)[] = asked.map(() => undefined);
  const started = performance.now(), end = started + 1000 * seconds;
  let done = 0, wrong = 0, begun = 0;
  await Promise.all(clients.map(async (client) => {
    while (begun < most && performance.now() < end) {
      const which = begun++ % asked.length, from = performance.now(), { body } = await client.post(asked[which]!);
      histogram.recordValue(Math.round((performance.now() - from) * 1e6));
      done++;
      if (body.length !== (lengths[which] ??= body.length)) wrong++;
    }
  }));
  return {
    done,
    wrong,
    seconds: (performance.now() - started) / 1000,
    errors: {},
    lastErrorAt: 0,
    histogram: encodeIntoCompressedBase64(histogram),
  };
}
