/** What a badge tells of a record that anybody may have written. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { piecesOf, setMetadata } from "../lib/dom/pieces.js";
import { labelOf, madeBy, plainText } from "../lib/provenance/made.js";

const RECORD = {
  model: { name: "SmolLM2", quantization: "Q8_0", license: "apache-2.0" },
  time: "2026-11-26T12:00:00Z",
};
const MADE = {
  model: "SmolLM2",
  quantization: "Q8_0",
  licence: "apache-2.0",
  host: "",
  time: new Date("2026-11-26T12:00:00Z"),
};

test("a record, or several, are read from the metadata of a cell or an output", () => {
  assert.deepEqual(madeBy({ jupyter_llm: RECORD, tags: [] }), [MADE]);
  assert.deepEqual(madeBy({ jupyter_llm: [RECORD, RECORD] }), [MADE, MADE]);
});

test("a record that is a line of JSON is read as an object is, and an id of one is none", () => {
  const line = JSON.stringify(RECORD);
  assert.deepEqual(madeBy({ jupyter_llm: line }), [MADE]);
  assert.deepEqual(madeBy({ jupyter_llm: [line, RECORD, "0123456789ab"] }), [MADE, MADE]);
});

test("a record stays the line of JSON that it was when another joins it", () => {
  const line = JSON.stringify({ ...RECORD, pieces: piecesOf("total = 1 + 1") });
  /** @type {Record<string, unknown>} */
  const metadata = { jupyter_llm: line };
  const cell = {
    getSource: () => "total = 1 + 1",
    getMetadata: (/** @type {string} */ key) => metadata[key],
    setMetadata: (/** @type {string} */ key, /** @type {unknown} */ value) => {
      metadata[key] = value;
    },
  };
  setMetadata(cell, { jupyter_llm: "other" });
  assert.deepEqual(metadata.jupyter_llm, ["other", line]);
});

test("what is no record is none, and what it lacks is left out", () => {
  const nothing = [undefined, null, 7, "x", [], {}, { model: 7 }, { model: { name: 7 } }];
  for (const record of nothing) assert.deepEqual(madeBy({ jupyter_llm: record }), []);
  for (const metadata of [undefined, null, 7, "x", {}]) assert.deepEqual(madeBy(metadata), []);
  const little = { model: { name: "m" }, time: "yesterday" };
  const [made] = madeBy({ jupyter_llm: [7, little] });
  assert.deepEqual(made, { model: "m", quantization: "", licence: "", host: "", time: null });
});

test("a name from elsewhere cannot turn the text around it", () => {
  const [made] = madeBy({ jupyter_llm: { ...RECORD, model: "\u202eevil" } });
  assert.ok(made && !made.model.includes("\u202e"));
});

/** What the kernel is held by as well. */
const DATA = new URL("../../tests/data/records/", import.meta.url);
const read = (/** @type {string} */ name) => JSON.parse(readFileSync(new URL(name, DATA), "utf8"));

/** @param {string} pieces */
const completed = (pieces) => ({ jupyter_llm_completed: [{ model: "SmolLM2", pieces }] });

for (const { what, text, pieces, stands, gone } of read("pieces.json")) {
  test(`a badge is there while a line of the model's is: ${what}`, () => {
    assert.equal(piecesOf(text), pieces);
    for (const metadata of [{ jupyter_llm: { ...RECORD, pieces } }, completed(pieces)]) {
      for (const [is, source] of Object.entries(stands)) {
        assert.equal(madeBy(metadata, String(source)).length, 1, is);
      }
      for (const [is, source] of Object.entries(gone)) {
        assert.equal(madeBy(metadata, String(source)).length, 0, is);
      }
    }
  });
}

test("lines that are gone make way for new ones, and short ones for long ones", () => {
  const [word, line, other] = ["rows = df", "rows = df.groupby(key)", "columns = rows.columns"];
  assert.equal(piecesOf(line, "", line, piecesOf(word)), piecesOf(line));
  assert.equal(piecesOf(line, "", `x = 1\n${line}`, piecesOf("x = 1")), piecesOf(line));
  assert.equal(piecesOf(line, "", line, piecesOf(other)), piecesOf(line));
  const both = piecesOf(`${other}\n${line}`);
  assert.equal(piecesOf(line, "", `${line}\n${other}[:3]`, piecesOf(other)), both);
});

test("a line that stood there before, or began one, is not the model's", () => {
  assert.equal(piecesOf("return x", "def f(x):\n    return x.sum()"), "");
  assert.equal(piecesOf("x = 1\nreturn x", "return x"), piecesOf("x = 1"));
  assert.equal(
    piecesOf("return x", "return x", "return x", piecesOf("return x")),
    piecesOf("return x"),
  );
});

test("another change leaves the credit for what still stands to who wrote it", () => {
  const [first, second] = ["rows = df.groupby(key)", "total = rows.amount.sum()"];
  /** @param {string} name @param {string} text */
  const by = (name, text) => ({ jupyter_llm: { model: { name }, pieces: piecesOf(text) } });
  const cell = {
    source: first,
    /** @type {Record<string, unknown>} */
    metadata: {},
    getSource: () => cell.source,
    getMetadata: (/** @type {string} */ key) => cell.metadata[key],
    setMetadata: (/** @type {string} */ key, /** @type {unknown} */ value) => {
      cell.metadata[key] = value;
    },
  };
  /** @param {string} name @param {string} text */
  const change = (name, text) => {
    setMetadata(cell, by(name, text));
    return madeBy(cell.metadata, cell.source).map(({ model }) => model);
  };
  assert.deepEqual(change("one", first), ["one"]);
  cell.source = `${first}\n${second}`;
  assert.deepEqual(change("two", second), ["two", "one"]);
  assert.deepEqual(change("two", second), ["two", "one"]); // of the same proposal
  cell.source = second;
  assert.deepEqual(change("deletes", ""), ["two"]);
});

test("what is long in a notebook of somebody else's is looked at once", () => {
  const pieces = "9:0 ".repeat(2e6);
  const records = Array.from({ length: 1e4 }, () => ({ ...RECORD, pieces }));
  const source = "x = 1\n".repeat(1e5);
  const metadata = { jupyter_llm: records, jupyter_llm_completed: records };
  assert.deepEqual(madeBy(metadata, source), []);
  assert.equal(piecesOf(source, "", source, pieces), piecesOf("x = 1"));
});

test("a record of a prompt that has left the machine says where it went, on the badge, too", () => {
  const model = { name: "qwen3@gpu.example:8000", host: "gpu.example:8000" };
  const made = madeBy({ jupyter_llm: { ...RECORD, model } });
  assert.equal(made[0]?.host, "gpu.example:8000");
  assert.equal(labelOf(made, "en-GB"), "qwen3@gpu.example:8000 · 26 Nov 2026");
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
