/** What a badge tells of a record that anybody may have written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { labelOf, madeBy, plainText } from "../lib/provenance/made.js";

const RECORD = {
  model: { name: "SmolLM2", quantization: "Q8_0", license: "apache-2.0" },
  time: "2026-11-26T12:00:00Z",
};
const MADE = {
  model: "SmolLM2",
  quantization: "Q8_0",
  licence: "apache-2.0",
  time: new Date("2026-11-26T12:00:00Z"),
};

test("a record, or several, are read from the metadata of a cell or an output", () => {
  assert.deepEqual(madeBy({ jupyter_llm: RECORD, tags: [] }), [MADE]);
  assert.deepEqual(madeBy({ jupyter_llm: [RECORD, RECORD] }), [MADE, MADE]);
});

test("what is no record is none, and what it lacks is left out", () => {
  const nothing = [undefined, null, 7, "x", [], {}, { model: 7 }, { model: { name: 7 } }];
  for (const record of nothing) assert.deepEqual(madeBy({ jupyter_llm: record }), []);
  for (const metadata of [undefined, null, 7, "x", {}]) assert.deepEqual(madeBy(metadata), []);
  const little = { model: { name: "m" }, time: "yesterday" };
  const [made] = madeBy({ jupyter_llm: [7, little] });
  assert.deepEqual(made, { model: "m", quantization: "", licence: "", time: null });
});

test("a badge names each model once, and the last day", () => {
  const later = { ...MADE, model: "Qwen", time: new Date("2027-01-02T12:00:00Z") };
  assert.equal(labelOf([MADE], "en-GB"), "SmolLM2 · 26 Nov 2026");
  assert.equal(labelOf([later, MADE, MADE], "en-GB"), "Qwen, SmolLM2 · 2 Jan 2027");
  assert.equal(labelOf([{ ...MADE, time: null }]), "SmolLM2");
});

test("an output's text may be in lines, or not there", () => {
  assert.equal(plainText({ "text/plain": ["a\n", "b"] }), "a\nb");
  assert.equal(plainText({ "text/plain": "a" }), "a");
  assert.equal(plainText({ "text/html": "a" }), null);
});
