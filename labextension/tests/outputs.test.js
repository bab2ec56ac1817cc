/** Outputs as text to attach, and places in texts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { codePoints, fromCodePoints } from "../lib/dom/characters.js";
import { outputsText, shortened } from "../lib/page/outputs.js";

test("outputs say what was printed, shown and raised, without colours", () => {
  const text = outputsText([
    { output_type: "stream", text: ["one\n", "two\n"] },
    { output_type: "stream", text: "" },
    {
      output_type: "execute_result",
      data: { "text/plain": "Table", "text/markdown": ["| a |\n", "|---|"] },
    },
    {
      output_type: "display_data",
      data: { "text/plain": "<Figure size 640x480>", "image/png": "iVBO" },
    },
    {
      output_type: "error",
      ename: "KeyError",
      evalue: "'price'",
      traceback: ["\u001b[0;31mKeyError\u001b[0m: 'price'"],
    },
    { output_type: "error", ename: "PromptError", evalue: "no model", traceback: [] },
  ]);
  assert.equal(
    text,
    "one\ntwo\n| a |\n|---|\n<Figure size 640x480>\nKeyError: 'price'\nPromptError: no model",
  );
});

test("widgets say nothing", () => {
  const data = { "application/vnd.jupyter.widget-view+json": {}, "text/plain": "ChatPanel()" };
  assert.equal(outputsText([{ output_type: "display_data", data }]), "");
});

test("a long text keeps its beginning and its end, and tells how much is missing", () => {
  const text = `begin${"x".repeat(30_000)}end`;
  const short = shortened(text);
  assert.ok(short.startsWith("beginx"));
  assert.ok(short.endsWith("xend"));
  assert.match(short, /10008 characters left out/);
  assert.ok(short.length < 20_100);
  assert.equal(shortened("short"), "short");
});

test("a long text is cut between lines, since half of one may be half of a secret", () => {
  const line = `token = "${"s".repeat(40)}"`;
  const parts = shortened(`${line}\n`.repeat(1000)).split("\n");
  assert.deepEqual(
    parts.filter((part) => part !== line && part !== "" && !part.startsWith("[…")),
    [],
  );
});

test("a long text is not cut through the middle of a character", () => {
  for (const shift of ["", "x"]) {
    const short = shortened(`${shift}${"😀".repeat(20_000)}`);
    assert.doesNotMatch(short, /\p{Surrogate}/u);
  }
});

test("places are counted as the kernel counts them", () => {
  const text = "😀 @dé";
  assert.equal(codePoints(text, text.indexOf("@")), 2);
  assert.equal(fromCodePoints(text, 2, 5), "@dé");
  assert.equal(fromCodePoints(text, 0, 2), "😀 ");
});
