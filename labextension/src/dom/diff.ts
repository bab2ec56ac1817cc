/** The difference of two texts: lines, and words in them. */

/** A piece of a text that goes, and what comes in its place. Places count as the browser does. */
export interface Replacement {
  start: number;
  end: number;
  text: string;
}

interface Piece {
  kind: "same" | "removed" | "added";
  text: string;
}

/**
 * A line of both texts, or of one. `changed` says from where to where it differs from the lines in
 * whose place it comes or goes: nowhere if they have little in common, or there are none.
 */
export interface DiffLine extends Piece {
  changed: [start: number, end: number][];
}

/**
 * Lines that go, each by the place where it begins, and those that come after the place `at`. It is
 * a replacement that can be made without the others.
 */
export interface Hunk extends Replacement {
  removed: (DiffLine & { from: number })[];
  added: DiffLine[];
  at: number;
  /** The new lines stand before the line at `at`, and not below it. */
  isAbove: boolean;
}

/** Beyond so many pairs of lines or words, what differs counts as rewritten. */
const MOST_PAIRS = 4_000_000;

const WORDS = /\n|[^\S\n]+|[\p{L}\p{M}\p{N}_]+|./gsu;

/** The lines of both texts in order, as few of them changed as can be. */
export function diffLines(before: string, after: string): DiffLine[] {
  const found: DiffLine[] = [];
  let run: DiffLine[] = [];
  const endRun = () => {
    markWords(run);
    run = [];
  };
  for (const piece of compared(before.split("\n"), after.split("\n"))) {
    const line = { ...piece, changed: [] };
    found.push(line);
    if (line.kind === "same") endRun();
    else run.push(line);
  }
  endRun();
  return found;
}

/** Return the changes that turn one text into another, from top to bottom. */
export function hunks(before: string, after: string): Hunk[] {
  const found: Hunk[] = [];
  let open: Hunk | null = null;
  let offset = 0; // of the line in the old text
  for (const line of diffLines(before, after)) {
    const start = offset;
    if (line.kind !== "added") offset += line.text.length + 1;
    if (line.kind === "same") open = null;
    else if (!open) {
      const at = Math.max(0, start - 1);
      open = { removed: [], added: [], at, isAbove: start === 0, start, end: start, text: "" };
      found.push(open);
    }
    if (!open) continue;
    open.end = offset;
    if (line.kind === "added") open.added.push(line);
    else if (before) {
      open.removed.push({ ...line, from: start });
      Object.assign(open, { at: offset - 1, isAbove: false });
    }
  }
  return found.map((hunk) => ({ ...hunk, ...pieceOf(hunk, before) }));
}

/** The pieces of a text that have to be replaced, as small as they can be, in their order. */
export function edits(before: string, after: string): Replacement[] {
  const pieces = hunks(before, after).flatMap((hunk): Replacement[] => {
    if (hunk.removed.length !== hunk.added.length) return [hunk];
    return hunk.removed.map(({ from, text }, at) => ({
      ...{ start: from, end: from + text.length },
      text: hunk.added[at]?.text ?? "",
    }));
  });
  return pieces.map(({ start, end, text }) => {
    const piece = narrowed(before.slice(start, end), text);
    return { start: start + piece.start, end: start + piece.end, text: piece.text };
  });
}

/** A text in which such pieces are replaced, which are in their order. */
export function replaced(before: string, pieces: readonly Replacement[]): string {
  return pieces.reduceRight(
    (text, piece) => text.slice(0, piece.start) + piece.text + text.slice(piece.end),
    before,
  );
}

/** Return a text with all changes but the last of another text that is still being written. */
export function begun(before: string, written: string): string {
  const all = hunks(before, written);
  const last = all.at(-1);
  const isOpen = last && last.removed.length > 0 && last.end >= before.length;
  return replaced(before, isOpen ? all.slice(0, -1) : all);
}

/** Return the replacement of a hunk that begins and ends with whole lines of the old text. */
function pieceOf({ start, end, removed, added }: Hunk, before: string): Replacement {
  const texts = added.map(({ text }) => text);
  if (removed.length > 0 && added.length > 0)
    return { start, end: end - 1, text: texts.join("\n") };
  if (before === "") return { start: 0, end: 0, text: texts.join("\n") };
  // A line goes and comes with its end; the last has none, but the one before it.
  if (end <= before.length) return { start, end, text: texts.map((text) => `${text}\n`).join("") };
  return { start: start - 1, end: end - 1, text: texts.map((text) => `\n${text}`).join("") };
}

/** Return the smallest replacement that turns one text into another. */
function narrowed(before: string, after: string): Replacement {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before[start] === after[start]) start += 1;
  let tail = 0;
  while (tail < most - start && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  if (isHalf(before, start)) start -= 1;
  if (isHalf(before, before.length - tail)) tail -= 1;
  return { start, end: before.length - tail, text: after.slice(start, after.length - tail) };
}

/** Whether a place lies between the two halves of one character. */
function isHalf(text: string, place: number): boolean {
  const before = text.charCodeAt(place - 1);
  const after = text.charCodeAt(place);
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000;
}

/** Find what of lines changed that go and come in the same place. */
function markWords(run: DiffLine[]): void {
  const linesOf = (kind: Piece["kind"]) => run.filter((line) => line.kind === kind);
  const words = (kind: Piece["kind"]) => {
    const texts = linesOf(kind).map(({ text }) => text);
    return texts.join("\n").match(WORDS) ?? [];
  };
  const pieces = compared(words("removed"), words("added"));
  for (const kind of ["removed", "added"] as const) {
    const lines = linesOf(kind);
    let place = 0;
    for (const piece of pieces) {
      if (piece.kind !== "same" && piece.kind !== kind) continue;
      if (piece.text === "\n") {
        lines.shift();
        place = 0;
      } else {
        if (piece.kind === kind && lines[0]) extend(lines[0], place, place + piece.text.length);
        place += piece.text.length;
      }
    }
  }
  for (const line of run) {
    const numChanged = line.changed.reduce((sum, [start, end]) => sum + end - start, 0);
    if (numChanged > line.text.trim().length / 2) line.changed = [];
  }
}

/** Mark one more piece of a line, and the blanks between it and the one before. */
function extend({ text, changed }: DiffLine, start: number, end: number): void {
  const last = changed.at(-1);
  if (last && text.slice(last[1], start).trim() === "") last[1] = end;
  else changed.push([start, end]);
}

/** Compare two lists of texts by their longest common subsequence. */
function compared(old: readonly string[], wanted: readonly string[]): Piece[] {
  let start = 0;
  while (start < old.length && start < wanted.length && old[start] === wanted[start]) start += 1;
  let [oldEnd, wantedEnd] = [old.length, wanted.length];
  while (oldEnd > start && wantedEnd > start && old[oldEnd - 1] === wanted[wantedEnd - 1]) {
    oldEnd -= 1;
    wantedEnd -= 1;
  }
  return [
    ...pieces("same", old.slice(0, start)),
    ...changed(old.slice(start, oldEnd), wanted.slice(start, wantedEnd)),
    ...pieces("same", old.slice(oldEnd)),
  ];
}

function pieces(kind: Piece["kind"], texts: readonly string[]): Piece[] {
  return texts.map((text) => ({ kind, text }));
}

function changed(old: readonly string[], wanted: readonly string[]): Piece[] {
  if (old.length * wanted.length > MOST_PAIRS) {
    return [...pieces("removed", old), ...pieces("added", wanted)];
  }
  // For each pair of places, how many texts both have in common from there to their ends.
  const width = wanted.length + 1;
  const lengths = new Uint32Array((old.length + 1) * width);
  const common = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = wanted.length - 1; j >= 0; j -= 1) {
      const isSame = old[i] === wanted[j];
      const most = isSame ? common(i + 1, j + 1) + 1 : Math.max(common(i + 1, j), common(i, j + 1));
      lengths[i * width + j] = most;
    }
  }
  const result: Piece[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < wanted.length) {
    const [removed, added] = [old[i], wanted[j]];
    if (removed !== undefined && removed === added) {
      result.push({ kind: "same", text: removed });
      i += 1;
      j += 1;
    } else if (
      removed !== undefined &&
      (added === undefined || common(i + 1, j) >= common(i, j + 1))
    ) {
      result.push({ kind: "removed", text: removed });
      i += 1;
    } else {
      result.push({ kind: "added", text: added ?? "" });
      j += 1;
    }
  }
  return result;
}
