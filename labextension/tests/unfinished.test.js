/** What half-written Markdown looks like while it grows. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { mended, withoutBareMarks } from "../lib/markdown/unfinished.js";

/** @type {[string, string][]} */
const MENDED = [
  ["a **bo", "a **bo**"],
  ["a **bold*", "a **bold**"],
  ["a **bold** and", "a **bold** and"],
  ["a **", "a "],
  ["~~gone", "~~gone~~"],
  ["**a `b", "**a ` b `**"],
  ["x ``a`b", "x `` a`b ``"],
  ["x `", "x "],
  ["[te", "[te"],
  ["[text](https://a", "text"],
  ["[text](https://a.b) y", "[text](https://a.b) y"],
  ["![im](ht", "im"],
  ["\\[ \\frac{1}{2", "` \\frac{1}{2 `"],
  ["so \\(x", "so ` x `"],
  ["$$ x $$ is", "$$ x $$ is"],
  ["\\**a", "\\**a"],
  ["- x\n- **y", "- x\n- **y**"],
  ["**open\n\n**x", "**open\n\n**x**"],
  ["| **a", "| **a**"],
  ["2**3", "2**3"],
  ["```py\na = **b", "```py\na = **b"],
  ["- ```py\n  a = **b", "- ```py\n  a = **b"],
  [`**${"long ".repeat(50)}`, `**${"long ".repeat(50)}`],
];

for (const [source, wanted] of MENDED) {
  test(`what is open in ${JSON.stringify(source.slice(0, 30))} is closed`, () => {
    assert.equal(mended(source), wanted);
  });
}

for (const marks of [
  "-",
  "- ",
  "1.",
  "12",
  "##",
  "``",
  "```py",
  "| --",
  "\\[",
  "$$",
  "===",
  "> -",
]) {
  test(`a line of ${JSON.stringify(marks)} waits for more`, () => {
    assert.equal(withoutBareMarks(`a\n${marks}`), "a\n");
    assert.equal(withoutBareMarks(`a\n${marks}\n`), `a\n${marks}\n`);
  });
}

for (const text of ["a", "a\n- b", "a\n1. b", "a\n*b", "```js x", "| a"]) {
  test(`${JSON.stringify(text)} is shown as it is`, () => {
    assert.equal(withoutBareMarks(text), text);
  });
}
