/** What a badge tells of a record that anybody may have written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { merged, piecesOf, standsIn } from "../lib/dom/pieces.js";
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

const BY_MODEL = 'rows = df.groupby("ä🎉")';
/** As the kernel writes it. */
const PIECES = "23:f1cab77a";

/** @type {[string, string, boolean][]} */
const SOURCES = [
  ["as it was written", BY_MODEL, true],
  ["in the midst of others", `x = 1\n  ${BY_MODEL}.sum()\ny`, true],
  ["edited", BY_MODEL.replace("rows", "lines"), false],
  ["in the place of it something else", "x = 1", false],
  ["undone", "", false],
];
for (const [what, source, isThere] of SOURCES) {
  test(`a badge is there while the model's text is: ${what}`, () => {
    const completed = { jupyter_llm_completed: { SmolLM2: `2026-11-26 1:7 ${PIECES}` } };
    for (const metadata of [{ jupyter_llm: { ...RECORD, pieces: PIECES } }, completed]) {
      assert.equal(madeBy(metadata, source).length, Number(isThere));
    }
  });
}

test("of ghost text a short piece is told with what stands before it", () => {
  assert.deepEqual(piecesOf('("ä🎉")', "x = 1\nrows = df.groupby"), piecesOf('y("ä🎉")', ""));
  assert.equal(standsIn(piecesOf("pi", "y = math."), "pi = 3"), false);
  assert.equal(standsIn(piecesOf("pi\n\n  z = 1", "y = math."), "  z = 1"), true);
});

test("pieces that are gone, or in a longer one, make way for new ones", () => {
  const [word, line, other] = [piecesOf("rows = df", ""), piecesOf(BY_MODEL, ""), ["9:0"]];
  assert.deepEqual(merged([...other, ...word], line, BY_MODEL), [...word, ...line]);
  assert.deepEqual(merged(line, line, BY_MODEL), line);
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
