/** Places in a text: the kernel counts code points, the browser halves of some of them. */

/** How many code points stand before a place. */
export function codePoints(text: string, offset: number): number {
  return [...text.slice(0, offset)].length;
}

/** The part of a text between two places that are counted in code points. */
export function fromCodePoints(text: string, start: number, end: number): string {
  return [...text].slice(start, end).join("");
}
