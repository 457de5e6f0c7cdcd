/**
 * What is to be known of a JSON text that `JSON.parse` does not tell.
 *
 * @module
 */
const QUOTE = 0x22, BACKSLASH = 0x5c, OPENING = 0x7b, CLOSING = 0x7d, BRACE = 0x20;

/** Where a string ends that opens at `at`: the index after its closing quote, or the text's end without one. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
  return text.length;
}

/** How often a character is there, counted no further than to `most` + 1. */
function countOf(character: string, text: string, most: number): number {
  let count = 0;
  for (let at = text.indexOf(character); at >= 0 && count <= most; at = text.indexOf(character, at + 1)) count++;
  return count;
}

/** Whether arrays and objects lie more than `most` deep in each other; up to where the text is no JSON, if it is none. */
export function isDeeperThan(most: number, text: string): boolean {
  if (countOf("[", text, most) + countOf("{", text, most) <= most) return false; // as almost always, at memchr's speed
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if ((code | BRACE) === OPENING && ++depth > most) return true;
    else if ((code | BRACE) === CLOSING) depth--;
  }
  return false;
}

/**
 * The same JSON with its whole numbers of 16 digits and more as strings: a double, as `JSON.parse` makes of them, may
 * not hold them.
 *
 * @param text what `JSON.parse` has taken
 */
export function quoteLongIntegers(text: string): string {
  const pattern = /"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g, pieces: string[] = [];
  let taken = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [found] = match, { index } = match;
    if (found === '"') {
      pattern.lastIndex = endOfString(text, index);
    } else {
      pieces.push(text.slice(taken, index), `"${found}"`);
      taken = index + found.length;
    }
  }
  pieces.push(text.slice(taken));
  return pieces.join("");
}
