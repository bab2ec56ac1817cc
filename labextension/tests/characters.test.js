/** What hides or turns text is seen, and text that reads well stays; Python takes out the same. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { withVisibleControls } from "../lib/dom/characters.js";

const FILE = new URL("../../tests/data/controls.json", import.meta.url);
/** @type {{ alone: string[], shown: [string, string][] }} */
const CONTROLS = JSON.parse(readFileSync(FILE, "utf8"));

test("what hides or turns text is shown as its number, and nothing else is", () => {
  for (const [text, shown] of CONTROLS.shown) assert.equal(withVisibleControls(text), shown);
  const ranges = CONTROLS.alone.map((ends) =>
    ends.split("-").map((end) => Number.parseInt(end, 16)),
  );
  const isControl = (/** @type {number} */ one) =>
    ranges.some(([first = 0, last = 0]) => first <= one && one <= last);
  for (let one = 0; one < 0x110000; one += 1) {
    const text = String.fromCodePoint(one);
    const number = one.toString(16).toUpperCase().padStart(4, "0");
    const shown = isControl(one) ? `[U+${number}]` : text;
    if (withVisibleControls(text) !== shown) assert.fail(`U+${number}`);
  }
});
