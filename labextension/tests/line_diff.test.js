/** What is told as changed between two texts of a cell. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLines } from "../lib/dom/line_diff.js";

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
  }
});

test("texts too long to compare count as rewritten between what they share", () => {
  const lines = (/** @type {string} */ name) =>
    Array.from({ length: 3000 }, (_, index) => `${name} ${index}`).join("\n");
  const all = diffLines(`same\n${lines("old")}\nend`, `same\n${lines("new")}\nend`);
  assert.equal(all.filter(({ kind }) => kind === "removed").length, 3000);
  assert.equal(all.filter(({ kind }) => kind === "same").length, 2);
});
