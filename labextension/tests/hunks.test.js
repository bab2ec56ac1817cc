/** Where an editor that holds the old text shows what a proposal changes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { hunks, replacement } from "../lib/actions/hunks.js";

/**
 * Put a text together as it is seen: old lines with what is removed marked, and the new ones.
 *
 * @param {string} before
 * @param {string} after
 */
function seen(before, after) {
  const all = hunks(before, after);
  const removed = new Set(all.flatMap((hunk) => hunk.removed));
  const lines = [];
  let offset = 0;
  for (const line of before.split("\n")) {
    const end = offset + line.length;
    for (const { added, at, isAbove } of all)
      if (isAbove && at === offset) lines.push(...added.map((text) => `+${text}`));
    lines.push((removed.has(offset) ? "-" : " ") + line);
    for (const { added, at, isAbove } of all)
      if (!isAbove && at === end) lines.push(...added.map((text) => `+${text}`));
    offset = end + 1;
  }
  return lines;
}

for (const [what, before, after, wanted] of [
  ["in the middle", "a\nb\nc", "a\nB\nc", [" a", "-b", "+B", " c"]],
  ["at the start", "a\nb", "0\na\nb", ["+0", " a", " b"]],
  ["of the first line", "a\nb", "A\nb", ["-a", "+A", " b"]],
  ["at the end", "a", "a\nb", [" a", "+b"]],
  ["after a line without text", "a\n\nb", "a\n\nc\nb", [" a", " ", "+c", " b"]],
  ["in two places", "a\nb\nc\nd", "A\nb\nc\nD", ["-a", "+A", " b", " c", "-d", "+D"]],
  ["that only removes", "a\nb\nc", "a\nc", [" a", "-b", " c"]],
]) {
  test(`a change ${what} is seen there`, () => {
    assert.deepEqual(seen(String(before), String(after)), wanted);
  });
}

test("nothing is removed from a cell where nothing stands", () => {
  assert.deepEqual(hunks("", "a\nb"), [{ removed: [], added: ["a", "b"], at: 0, isAbove: true }]);
});

for (const [before, after] of [
  ["def f(x):\n  return x", "def f(y):\n  return y"],
  ["aaa", "aa"],
  ["", "x"],
  ["x", ""],
  ["😀", "😁"],
  ["a😀b", "a😁b"],
]) {
  test(`what is put in its place makes ${JSON.stringify(before)} ${JSON.stringify(after)}`, () => {
    const { start, end, text } = replacement(String(before), String(after));
    assert.equal(before?.slice(0, start) + text + before?.slice(end), after);
    assert.doesNotMatch(text, /\p{Surrogate}/u);
  });
}

test("what stays the same is left alone", () => {
  assert.deepEqual(replacement("a\nb\nc", "a\nB\nc"), { start: 2, end: 3, text: "B" });
});
