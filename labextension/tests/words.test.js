/** One language for all scripts of a page. */

import assert from "node:assert/strict";
import { test } from "node:test";

test("a script that is loaded apart speaks as those before it", async () => {
  const early = await import("../lib/dom/words.js");
  assert.equal(early.trans.__("%1 of %2", 1, 2), "1 of 2");
  assert.equal(early.trans._n("%1 line", "%1 lines", 2), "2 lines");
  const words = { __: () => "ja", _n: () => "ja" };
  early.speak(words);
  const late = await import(String("../lib/dom/words.js?late"));
  assert.equal(early.trans, words);
  assert.equal(late.trans, words);
});
