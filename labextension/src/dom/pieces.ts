/** Fingerprints of the lines that a model wrote, as the kernel's `pieces.py` counts them. */

/** The metadata key of records. */
export const RECORDS = "jupyter_llm";
/** The metadata key of accepted ghost text. */
export const COMPLETED = "jupyter_llm_completed";
/** Of a cell. */
const [MOST, MOST_RECORDS] = [24, 20];
/** Shorter lines stand in any code. */
const LEAST = 12;

/** The part that we use of JupyterLab's cells. */
interface SharedCell {
  getSource(): string;
  getMetadata(key: string): unknown;
  setMetadata(key: string, value: unknown): void;
}

/** The part that we use of a record; the notebook's author may have written anything there. */
type Written = { model?: unknown; kind?: unknown; pieces?: unknown } | null | undefined;

/** The pieces of lines that did not stand in a cell before, and older ones that stand; of many, of some. */
export function piecesOf(text: string, before = "", source = "", old: unknown = ""): string {
  const lines = new Set(linesOf(text).flatMap((line) => [...beginnings(line)]));
  for (const piece of matching([...lines], before)) lines.delete(piece);
  const all = [...new Set([...matching(split(old), source), ...lines])];
  const long = all.filter((piece) => Number.parseInt(piece, 10) >= LEAST);
  const pieces = long.length > 0 ? long : all;
  const count = Math.min(pieces.length, MOST);
  const spread = (_: unknown, at: number) => Math.floor(((at + 1) * pieces.length - 1) / count);
  return Array.from({ length: count }, (...one) => pieces[spread(...one)]).join(" ");
}

/** The records in metadata, be it one or a list; `records.py` writes each as a line of JSON. */
export function written(found: unknown, most = MOST_RECORDS): Written[] {
  return [found].flat().slice(0, most).map(parsed) as Written[];
}

function parsed(record: unknown): unknown {
  try {
    return typeof record === "string" ? JSON.parse(record) : record;
  } catch {
    return null; // the id of a record that a cell has
  }
}

/** Of records of a cell, those with a line of which one of its source begins, as far as they tell. */
export function remaining(records: Written[], source: string): Written[] {
  if (!records.some(Boolean)) return [];
  const all = records.flatMap((one) => split(one?.pieces));
  const known = matching(all, source);
  return records.filter(
    (one) => typeof one?.pieces !== "string" || split(one.pieces).some((piece) => known.has(piece)),
  );
}

/** Give a cell a record beside those it has that still stand. */
export function setMetadata(cell: SharedCell, metadata: object): void {
  const all = [cell.getMetadata(RECORDS)].flat();
  const records = written(all);
  const kept = remaining(records, cell.getSource());
  const former = all.filter((_, at) => records[at] && kept.includes(records[at]));
  for (const [key, value] of Object.entries(metadata)) {
    const others = former.filter((one) => JSON.stringify(one) !== JSON.stringify(value));
    const isRecord = key === RECORDS && others.length > 0;
    cell.setMetadata(key, isRecord ? [value, ...others] : value);
  }
}

/** Tells a text from others, but for blanks around it. */
export function fingerprint(text: string): string {
  return beginnings(text.trim()).next().value ?? "";
}

function split(pieces: unknown): string[] {
  return typeof pieces === "string" ? pieces.split(" ", MOST) : [];
}

/** Without what a formatter changes. */
function linesOf(text: string): string[] {
  const plain = text.replace(/[ \t\r]/g, "").replaceAll("'", '"');
  return plain.split("\n").filter((line) => line !== "");
}

/** Those of some pieces with which lines begin. */
function matching(pieces: string[], source: string): Set<string> {
  const lengths = new Set(pieces.map((piece) => Number.parseInt(piece, 10)));
  const [named, found] = [new Set(pieces), new Set<string>()];
  for (const line of linesOf(named.size > 0 ? source : "")) {
    for (const piece of beginnings(line, lengths)) if (named.has(piece)) found.add(piece);
  }
  return found;
}

/** A length and a hash for each beginning of a line that is so long, else for all of it. */
function* beginnings(line: string, lengths = new Set([[...line].length])): Generator<string> {
  let [value, length] = [0x811c9dc5, 0]; // FNV-1a, of whole characters
  for (const character of line) {
    value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
    length += 1;
    if (lengths.has(length)) yield `${length}:${(value >>> 0).toString(16)}`;
  }
}
