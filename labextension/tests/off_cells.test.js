import assert from "node:assert/strict";
import { test } from "node:test";
import { isOff } from "../lib/page/off_cells.js";

for (const [tags, off] of [
  [["llm-off"], true],
  [["slow", "llm-hide"], true],
  [["slow"], false],
  ["llm-off", false],
  [undefined, false],
])
  test(`a cell is ${off ? "" : "not "}off with the tags ${JSON.stringify(tags)}`, () => {
    assert.equal(isOff({ getMetadata: () => tags }), off);
  });
