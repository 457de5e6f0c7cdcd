/** A request that cannot be answered, and the status that says so. */
export class OipError extends Error {
  /** The class's name. */
  override readonly name: string = "OipError";
  /** HTTP's status: 400 for what is wrong with the request, 501 for what is not supported here. */
  readonly status: number;

  /** @param message what is wrong, for whoever sent the request */
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The error for a request that is not as it must be. */
export function badRequest(message: string, options?: ErrorOptions): OipError {
  return new OipError(400, message, options);
}

const MOST_SHOWN = 100;

/** The beginning of a text from outside, which may be of any length. */
export function shorten(text: string): string {
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}...`;
}

/** A name from outside as messages show it. */
export function quote(name: string): string {
  return `"${shorten(name)}"`;
}

/** A value of JSON as messages show it. */
export function showValue(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return value === undefined ? "nothing" : String(value);
}
