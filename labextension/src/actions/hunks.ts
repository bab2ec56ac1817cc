/** Where lines of a text go and others come, as an editor that holds the old text needs to know. */

import { diffLines } from "../dom/line_diff.js";

/** Lines that go, each by the place where it begins, and those that come after the place `at`. */
export interface Hunk {
  removed: number[];
  added: string[];
  at: number;
  /** The new lines stand before the line at `at`, and not below it. */
  isAbove: boolean;
}

/** What turns one text into another, from top to bottom. Places count as the browser does. */
export function hunks(before: string, after: string): Hunk[] {
  if (before === "") return [{ removed: [], added: after.split("\n"), at: 0, isAbove: true }];
  const found: Hunk[] = [];
  let open: Hunk | null = null;
  let offset = 0;
  for (const { kind, text } of diffLines(before, after)) {
    if (kind === "same") open = null;
    else if (!open) {
      open = { removed: [], added: [], at: Math.max(0, offset - 1), isAbove: offset === 0 };
      found.push(open);
    }
    if (kind === "removed" && open) {
      open.removed.push(offset);
      open.at = offset + text.length;
      open.isAbove = false;
    } else if (kind === "added") open?.added.push(text);
    if (kind !== "added") offset += text.length + 1;
  }
  return found;
}

/** The one piece of a text that has to be put in another's place, as small as it can be. */
export function replacement(
  before: string,
  after: string,
): { start: number; end: number; text: string } {
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
