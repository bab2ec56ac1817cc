/** Which lines of a text become which others. */

/** A line of both texts, or of one. */
export interface DiffLine {
  kind: "same" | "removed" | "added";
  text: string;
}

/** Beyond so many pairs of lines, what differs counts as rewritten. */
const MOST_PAIRS = 4_000_000;

/** The lines of both texts in order, as few of them changed as can be. */
export function diffLines(before: string, after: string): DiffLine[] {
  const old = before.split("\n");
  const wanted = after.split("\n");
  let start = 0;
  while (start < old.length && start < wanted.length && old[start] === wanted[start]) start += 1;
  let [oldEnd, wantedEnd] = [old.length, wanted.length];
  while (oldEnd > start && wantedEnd > start && old[oldEnd - 1] === wanted[wantedEnd - 1]) {
    oldEnd -= 1;
    wantedEnd -= 1;
  }
  return [
    ...lines("same", old.slice(0, start)),
    ...changed(old.slice(start, oldEnd), wanted.slice(start, wantedEnd)),
    ...lines("same", old.slice(oldEnd)),
  ];
}

function lines(kind: DiffLine["kind"], texts: string[]): DiffLine[] {
  return texts.map((text) => ({ kind, text }));
}

/** How the lines of one text become those of another, by their longest common subsequence. */
function changed(old: string[], wanted: string[]): DiffLine[] {
  if (old.length * wanted.length > MOST_PAIRS) {
    return [...lines("removed", old), ...lines("added", wanted)];
  }
  const lengths = commonLengths(old, wanted);
  const width = wanted.length + 1;
  const result: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < wanted.length) {
    const [removed, added] = [old[i], wanted[j]];
    if (removed !== undefined && removed === added) {
      result.push({ kind: "same", text: removed });
      i += 1;
      j += 1;
    } else if (
      removed !== undefined &&
      (added === undefined ||
        (lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0))
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

/** For each pair of places, how many lines both texts share from there to their ends. */
function commonLengths(old: string[], wanted: string[]): Uint32Array {
  const width = wanted.length + 1;
  const lengths = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = wanted.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      lengths[at] =
        old[i] === wanted[j]
          ? (lengths[at + width + 1] ?? 0) + 1
          : Math.max(lengths[at + width] ?? 0, lengths[at + 1] ?? 0);
    }
  }
  return lengths;
}
