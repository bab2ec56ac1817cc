/** Pieces of text that a model wrote, by length and hash, as the kernel's `pieces.py` counts them. */

/** Where in a cell's metadata stands what was accepted of ghost text. */
export const COMPLETED = "jupyter_llm_completed";

/** Of a cell. */
const MOST = 24;
/** What is shorter is told with what stands before it on its line. */
const LEAST = 8;
/** Of a longer text nobody can tell. */
const MAX_SOURCE = 40_000;
const RADIX = 31;

/** The lines of a text that a model wrote at a place, as pieces; `before` is what stands there before it. */
export function piecesOf(text: string, before: string): string[] {
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const [first = "", ...others] = text.split("\n");
  const start = first.trim() ? (line + first).slice(-Math.max(LEAST, first.length)) : "";
  return [start, ...others].map((one) => one.trim()).flatMap((one) => (one ? [pieceOf(one)] : []));
}

/** Whether one of some pieces stands in a text. */
export function standsIn(pieces: readonly string[], text: string): boolean {
  if (text.length > MAX_SOURCE) return true;
  const codes = codesOf(text);
  return pieces.slice(0, MOST).some((piece) => stands(piece, codes));
}

/** New pieces, and before them those that still stand in a source and not in the new text. */
export function merged(old: readonly string[], added: string[], source: string): string[] {
  const others = old.filter((piece) => !added.includes(piece) && standsIn([piece], source));
  return [...others, ...added].slice(-MOST);
}

/** For each model a line, with the day and the pieces; whoever made the notebook may have written anything. */
export function completedLines(metadata: unknown): Record<string, string> {
  const entries = typeof metadata === "object" && metadata !== null ? Object.entries(metadata) : [];
  return Object.fromEntries(entries.filter(([, line]) => typeof line === "string"));
}

function pieceOf(text: string): string {
  const codes = codesOf(text);
  return `${codes.length}:${hash(codes, codes.length).toString(16)}`;
}

function stands(piece: string, codes: readonly number[]): boolean {
  const [size, wanted] = piece.split(":");
  const length = Number(size);
  if (!(length > 0 && length <= codes.length)) return false;
  let first = 1;
  for (let count = 0; count < length; count += 1) first = Math.imul(first, RADIX);
  let value = hash(codes, length);
  for (let at = length; at < codes.length; at += 1) {
    if (value.toString(16) === wanted) return true;
    const gone = Math.imul(codes[at - length] ?? 0, first);
    value = (Math.imul(value, RADIX) + (codes[at] ?? 0) - gone) >>> 0;
  }
  return value.toString(16) === wanted;
}

/** Of characters as Python counts them. */
function codesOf(text: string): number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0);
}

function hash(codes: readonly number[], length: number): number {
  let value = 0;
  for (let at = 0; at < length; at += 1) {
    value = (Math.imul(value, RADIX) + (codes[at] ?? 0)) >>> 0;
  }
  return value;
}
