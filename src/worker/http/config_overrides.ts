import { OipError } from "../../protocol/oip/oip_error.ts";
import type { ConfigOverrides } from "../served_models.ts";
import { parseObject } from "./json_body.ts";

const encoder = new TextEncoder();
/** What a model's configuration may say anew. */
const KNOWN: readonly string[] = ["max_batch_size", "dynamic_batching"];

/** What a configuration, in JSON, says of how a model is to be served from here on. @throws {OipError} 400; 501 */
export function readOverrides(config: unknown): ConfigOverrides {
  if (typeof config !== "string") throw new OipError(400, `"config" is a text of JSON`);
  const found = parseObject(encoder.encode(config)), unknown = Object.keys(found).find((key) => !KNOWN.includes(key));
  if (unknown !== undefined) throw new OipError(501, `"${unknown}" cannot be changed: ${KNOWN.join(" and ")} can`);
  const { max_batch_size: size, dynamic_batching: batching } = found;
  const delay = (batching ?? {}) as { readonly max_queue_delay_microseconds?: unknown };
  return {
    ...(size !== undefined && { maxBatchSize: Math.max(1, numberOf("max_batch_size", size)) }), // 0 is one at a time
    ...(delay.max_queue_delay_microseconds !== undefined && {
      maxQueueDelayMs: numberOf("max_queue_delay_microseconds", delay.max_queue_delay_microseconds) / 1000,
    }),
  };
}

/** A whole number, which is also written as a text. */
function numberOf(what: string, found: unknown): number {
  const number = typeof found === "string" && /^\d{1,15}$/.test(found) ? Number(found) : found;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  throw new OipError(400, `"${what}" is a whole number, not ${JSON.stringify(found)}`);
}
