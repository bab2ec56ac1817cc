/** What is told as changed between two texts of a cell, and where an editor shows it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { begun, diffLines, edits, hunks, replaced } from "../lib/dom/diff.js";

const SIGNS = { same: " ", removed: "-", added: "+" };

/**
 * @param {string} before
 * @param {string} after
 */
function signed(before, after) {
  return diffLines(before, after).map(({ kind, text }) => SIGNS[kind] + text);
}

test("equal texts have no changes", () => {
  assert.deepEqual(signed("a\nb", "a\nb"), [" a", " b"]);
});

test("a line is changed, added and removed", () => {
  assert.deepEqual(signed("a\nb\nc", "a\nB\nc"), [" a", "-b", "+B", " c"]);
  assert.deepEqual(signed("a\nc", "a\nb\nc"), [" a", "+b", " c"]);
  assert.deepEqual(signed("a\nb\nc", "a\nc"), [" a", "-b", " c"]);
});

test("what moved counts once, and as few lines as can be change", () => {
  assert.deepEqual(signed("a\nb\nc\nd", "b\nc\nd\na"), ["-a", " b", " c", " d", "+a"]);
});

test("both texts can be read from the changes", () => {
  let state = 7;
  const chance = () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
  for (let round = 0; round < 200; round += 1) {
    const [before, after] = [0, 1].map(() =>
      Array.from(
        { length: Math.floor(chance() * 12) },
        () => "abcd"[Math.floor(chance() * 4)],
      ).join("\n"),
    );
    const all = diffLines(before ?? "", after ?? "");
    const read = (/** @type {string} */ other) =>
      all
        .filter(({ kind }) => kind !== other)
        .map(({ text }) => text)
        .join("\n");
    assert.equal(read("added"), before);
    assert.equal(read("removed"), after);
    const parts = hunks(before ?? "", after ?? "");
    assert.equal(replaced(before ?? "", parts), after);
    for (const part of before ? parts : []) {
      const numLines = replaced(before ?? "", [part]).split("\n").length;
      const more = part.added.length - part.removed.length;
      assert.equal(numLines, (before ?? "").split("\n").length + more);
    }
  }
});

test("texts too long to compare count as rewritten between what they share", () => {
  const lines = (/** @type {string} */ name) =>
    Array.from({ length: 3000 }, (_, index) => `${name} ${index}`).join("\n");
  const all = diffLines(`same\n${lines("old")}\nend`, `same\n${lines("new")}\nend`);
  assert.equal(all.filter(({ kind }) => kind === "removed").length, 3000);
  assert.equal(all.filter(({ kind }) => kind === "same").length, 2);
});

for (const [what, before, after, wanted] of [
  [
    "a name",
    "total = sum(values)",
    "total = max(values)",
    ["total = [sum](values)", "total = [max](values)"],
  ],
  ["two places", "f(a, x, b)", "f(c, x, d)", ["f([a], x, [b])", "f([c], x, [d])"]],
  ["blanks at the start", "return x", "    return x", ["return x", "[    ]return x"]],
  [
    "words beside each other",
    "a quick red fox ran home",
    "a slow old fox ran home",
    ["a [quick red] fox ran home", "a [slow old] fox ran home"],
  ],
  ["nothing in common", "import os", "print(2)", ["import os", "print(2)"]],
  [
    "a line that is broken",
    "f(one, two)",
    "f(one,\n  two)",
    ["f(one,[ ]two)", "f(one,", "[  ]two)"],
  ],
  ["whole characters", "s = 'xyz 😀'", "s = 'xyz 😁'", ["s = 'xyz [😀]'", "s = 'xyz [😁]'"]],
]) {
  test(`what changed within lines is told: ${what}`, () => {
    const lines = diffLines(String(before), String(after)).map(({ text, changed }) => {
      const marks = changed.map(([start, end]) => ({
        start,
        end,
        text: `[${text.slice(start, end)}]`,
      }));
      return replaced(text, marks);
    });
    assert.deepEqual(lines, wanted);
  });
}

/**
 * Put a text together as it is seen: old lines with what is removed marked, and the new ones.
 *
 * @param {string} before
 * @param {string} after
 */
function seen(before, after) {
  const all = hunks(before, after);
  const removed = new Set(all.flatMap((hunk) => hunk.removed.map(({ from }) => from)));
  const lines = [];
  let offset = 0;
  for (const line of before.split("\n")) {
    const end = offset + line.length;
    for (const { added, at, isAbove } of all)
      if (isAbove && at === offset) lines.push(...added.map(({ text }) => `+${text}`));
    lines.push((removed.has(offset) ? "-" : " ") + line);
    for (const { added, at, isAbove } of all)
      if (!isAbove && at === end) lines.push(...added.map(({ text }) => `+${text}`));
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
  const [hunk] = hunks("", "a\nb");
  assert.deepEqual(hunk?.removed, []);
  assert.deepEqual([hunk?.at, hunk?.isAbove], [0, true]);
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
    const pieces = edits(String(before), String(after));
    assert.equal(replaced(String(before), pieces), after);
    for (const { text } of pieces) assert.doesNotMatch(text, /\p{Surrogate}/u);
  });
}

test("what stays the same is left alone", () => {
  assert.deepEqual(edits("b = 1\nc = 1\nd\ne", "b = 2\nc = 2\nd\nE\nf"), [
    { start: 4, end: 5, text: "2" },
    { start: 10, end: 11, text: "2" },
    { start: 14, end: 15, text: "E\nf" },
  ]);
});

for (const [written, text] of [
  ["", "a\nb\nc\nd"],
  ["a\nB", "a\nb\nc\nd"], // nobody knows yet what B takes the place of
  ["a\nB\nc", "a\nB\nc\nd"],
  ["a\nB\nc\nd\ne", "a\nB\nc\nd\ne"],
  ["something else", "a\nb\nc\nd"],
]) {
  test(`a change shows once what follows it is written, too: ${JSON.stringify(written)}`, () => {
    assert.equal(begun("a\nb\nc\nd", String(written)), text);
  });
}
