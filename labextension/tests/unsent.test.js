/** Text that was typed in a chat and not sent is there again after the page was loaded again. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Unsent } from "../lib/compose/unsent.js";

/** @type {Map<string, string>} */
let kept;
/** @type {string | null} */
let path;

beforeEach(() => {
  kept = new Map();
  path = "a.ipynb";
  const sessionStorage = {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ text) => kept.set(key, text),
    removeItem: (/** @type {string} */ key) => kept.delete(key),
  };
  Object.defineProperty(globalThis, "sessionStorage", {
    value: sessionStorage,
    configurable: true,
  });
});

/** What a field of a chat begins with on a page that was loaded just now. */
const loaded = (/** @type {string} */ chat) => new Unsent(() => path).follow(chat);

/** A field in which somebody types. */
function typed(/** @type {string} */ chat, /** @type {string} */ text) {
  const field = new Unsent(() => path);
  field.follow(chat);
  field.keep(text);
  return field;
}

test("a text comes back in its chat and its notebook only", () => {
  typed("prices", "How much");
  assert.equal(loaded("default"), "");
  path = "b.ipynb";
  assert.equal(loaded("prices"), "");
  path = "a.ipynb";
  assert.equal(loaded("prices"), "How much");
});

test("a text that was sent does not come back", () => {
  typed("prices", "How much?").keep("");
  assert.equal(kept.size, 0);
});

test("a text follows its chat and its notebook to their new names", () => {
  const field = typed("prices", "How much");
  path = "b.ipynb";
  assert.equal(field.follow("costs"), "");
  assert.equal(loaded("costs"), "How much");
  assert.equal(kept.size, 1);
});

test("what is typed before the chat is known is not replaced", () => {
  typed("prices", "old");
  const field = new Unsent(() => path);
  field.keep("new");
  assert.equal(field.follow("prices"), "");
  assert.equal(loaded("prices"), "new");
});

test("without a notebook's path, or where the browser keeps nothing, the field works", () => {
  path = null;
  typed("prices", "How much");
  assert.equal(kept.size, 0);
  path = "a.ipynb";
  const refuse = () => {
    throw new Error("SecurityError");
  };
  Object.defineProperty(globalThis, "sessionStorage", { get: refuse, configurable: true });
  typed("prices", "How much");
  assert.equal(loaded("prices"), "");
});
