/** Fingerprints of the lines that a model wrote, as the kernel's `pieces.py` counts them. */

/** Where records stand, in metadata. */
export const RECORDS = "jupyter_llm";
/** Where in a cell's metadata stands what was accepted of ghost text. */
export const COMPLETED = "jupyter_llm_completed";
/** Of a cell. */
const [MOST, MOST_RECORDS] = [24, 20];
/** Shorter lines stand in any code. */
const LEAST = 12;

/** What is used of a cell of JupyterLab's. */
interface SharedCell {
  getSource(): string;
  getMetadata(key: string): unknown;
  setMetadata(key: string, value: unknown): void;
}

/** What is used of a record; whoever made the notebook may have written anything. */
type Written = { model?: unknown; kind?: unknown; pieces?: unknown } | null | undefined;

/** The pieces of new lines, and of those of a source that older pieces name; of many, of some. */
export function piecesOf(text: string, source = "", old: unknown = ""): string {
  const named = new Set(split(old));
  const kept = linesOf(source).filter((line) => named.has(fingerprint(line)));
  const all = [...new Set([...kept, ...linesOf(text)])];
  const long = all.filter((line) => [...line].length >= LEAST);
  const lines = (long.length > 0 ? long : all).map(fingerprint);
  const count = Math.min(lines.length, MOST);
  const spread = (_: unknown, at: number) => Math.floor(((at + 1) * lines.length - 1) / count);
  return Array.from({ length: count }, (...one) => lines[spread(...one)]).join(" ");
}

/** What metadata hold, be it one or a list. */
export function written(found: unknown): Written[] {
  return [found].flat().slice(0, MOST_RECORDS) as Written[];
}

/** Of records of a cell, those of which a line stands in its source, as far as they tell. */
export function standing(records: Written[], source: string): Written[] {
  if (!records.some(Boolean)) return [];
  const known = new Set(linesOf(source).map(fingerprint));
  return records.filter((one) => {
    const isOld = typeof one?.pieces !== "string"; // of those of ghost text nobody can tell
    return isOld ? one?.kind !== "completion" : split(one.pieces).some((piece) => known.has(piece));
  });
}

/** Give a cell a record beside those it has that still stand. */
export function setMetadata(cell: SharedCell, metadata: object): void {
  const former = standing(written(cell.getMetadata(RECORDS)), cell.getSource());
  for (const [key, value] of Object.entries(metadata)) {
    cell.setMetadata(key, former.length > 0 ? [value, ...former] : value);
  }
}

function split(pieces: unknown): string[] {
  return typeof pieces === "string" ? pieces.split(" ", MOST) : [];
}

/** Without what a formatter changes. */
function linesOf(text: string): string[] {
  const plain = text.replace(/[ \t\r]/g, "").replaceAll("'", '"');
  return plain.split("\n").filter((line) => line !== "");
}

/** FNV-1a, of whole characters. */
function fingerprint(line: string): string {
  let value = 0x811c9dc5;
  for (const character of line) {
    value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return (value >>> 0).toString(16);
}
