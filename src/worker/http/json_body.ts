import { OipError } from "../../protocol/oip/oip_error.ts";

/** A body of one object in JSON; an empty one stands for {}. @throws {OipError} 400 */
export function parseObject(body: Uint8Array): Record<string, unknown> {
  if (body.length === 0) return {};
  let found: unknown;
  try {
    found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new OipError(400, `The body is no JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Record<string, unknown>;
  throw new OipError(400, "The body is to be an object");
}
