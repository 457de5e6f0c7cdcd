/**
 * The few words of SVG that the demo's pictures are written in.
 *
 * @module
 */

/** The colours of all pictures. */
export const palette = {
  ink: "#1e293b",
  soft: "#64748b",
  faint: "#e2e8f0",
  paper: "#ffffff",
  wave: "#94a3b8",
  accent: "#0d9488",
  warm: "#f97316",
} as const;

/** An element; attributes that are numbers are rounded to a tenth, text content must be escaped. */
export function element(name: string, attributes: Record<string, string | number>, content = ""): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? tenth(value) : escape(value)}"`);
  return content === "" ? `<${name}${written.join("")}/>` : `<${name}${written.join("")}>${content}</${name}>`;
}

/** A line of text; `style` holds further attributes. */
export function label(x: number, y: number, content: string, style: Record<string, string | number> = {}): string {
  return element("text", { x, y, "font-size": 14, fill: palette.ink, ...style }, escape(content));
}

/** The points of a path or polygon: `x,y x,y`. */
export function points(list: readonly { readonly x: number; readonly y: number }[]): string {
  return list.map(({ x, y }) => `${tenth(x)},${tenth(y)}`).join(" ");
}

/** A whole picture on white, with a title and a line below it. */
export function card(size: { width: number; height: number }, title: string, subtitle: string, body: string): string {
  const { width, height } = size;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" `,
    `font-family="Inter, 'Segoe UI', 'Liberation Sans', Helvetica, Arial, sans-serif">`,
    element("title", {}, escape(title)),
    element("rect", { width, height, rx: 16, fill: palette.paper }),
    label(40, 50, title, { "font-size": 22, "font-weight": 600 }),
    label(40, 76, subtitle, { fill: palette.soft }),
    body,
    "</svg>\n",
  ].join("");
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] as string);
}
