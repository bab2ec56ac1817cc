/** Text that was typed in a chat and not sent is there again after the page was loaded again. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Unsent } from "../lib/compose/unsent.js";
import { openStorage } from "./storage.js";

/** @type {Map<string, string>} */
let kept;
/** @type {import("../lib/page/cells.js").ChatPlace | null} */
let place;

beforeEach(() => {
  kept = openStorage();
  place = { path: "a.ipynb", cell: null };
});

/** What a field of a chat begins with on a page that was loaded just now. */
const loaded = (/** @type {string} */ chat) => new Unsent(() => place).follow(chat);

/** A field in which somebody types. */
function typed(/** @type {string} */ chat, /** @type {string} */ text) {
  const field = new Unsent(() => place);
  field.follow(chat);
  field.keep(text);
  return field;
}

test("a text comes back in its chat, its notebook and its cell only", () => {
  typed("prices", "How much");
  assert.equal(loaded("default"), "");
  place = { path: "b.ipynb", cell: null };
  assert.equal(loaded("prices"), "");
  place = { path: "a.ipynb", cell: "c1" };
  assert.equal(loaded("prices"), "");
  place = { path: "a.ipynb", cell: null };
  assert.equal(loaded("prices"), "How much");
});

test("a field that is emptied leaves what a second view of the notebook stored", () => {
  const other = typed("prices", "Why?");
  typed("prices", "How much");
  other.keep("");
  assert.equal(loaded("prices"), "How much");
});

test("a text that was sent does not come back", () => {
  typed("prices", "How much?").keep("");
  assert.equal(kept.size, 0);
});

test("a text follows its chat and its notebook to their new names", () => {
  const field = typed("prices", "How much");
  place = { path: "b.ipynb", cell: null };
  assert.equal(field.follow("costs"), "");
  assert.equal(loaded("costs"), "How much");
  assert.equal(kept.size, 1);
});

test("what is typed before the chat is known is not replaced", () => {
  typed("prices", "old");
  const field = new Unsent(() => place);
  field.keep("new");
  assert.equal(field.follow("prices"), "");
  assert.equal(loaded("prices"), "new");
});

test("without a notebook's path, or where the browser keeps nothing, the field works", () => {
  place = null;
  typed("prices", "How much");
  assert.equal(kept.size, 0);
  place = { path: "a.ipynb", cell: null };
  const refuse = () => {
    throw new Error("SecurityError");
  };
  Object.defineProperty(globalThis, "sessionStorage", { get: refuse, configurable: true });
  typed("prices", "How much");
  assert.equal(loaded("prices"), "");
});
