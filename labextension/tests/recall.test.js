/** Up and Down go through earlier prompts and come back to what was being written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Recall } from "../lib/compose/recall.js";

test("Up goes back to the first prompt, Down to what was being written", () => {
  const recall = new Recall(() => ["one", "two"]);
  assert.equal(recall.older("draft"), "two");
  assert.equal(recall.older("two"), "one");
  assert.equal(recall.older("one"), null);
  assert.equal(recall.isActive, true);
  assert.equal(recall.newer(), "two");
  assert.equal(recall.newer(), "draft");
  assert.equal(recall.isActive, false);
  assert.equal(recall.newer(), null);
});

test("what was sent meanwhile is the first to come back", () => {
  const history = ["one"];
  const recall = new Recall(() => history);
  assert.equal(recall.older(""), "one");
  history.push("two");
  recall.reset();
  assert.equal(recall.older("new draft"), "two");
  assert.equal(recall.newer(), "new draft");
});

test("a new chat has nothing to come back to", () => {
  const recall = new Recall(() => []);
  assert.equal(recall.older("draft"), null);
  assert.equal(recall.isActive, false);
  assert.equal(recall.newer(), null);
});

test("what is shown already is no earlier prompt", () => {
  const recall = new Recall(() => ["one", "two"]);
  assert.equal(recall.older("two"), "one");
  assert.equal(recall.newer(), "two");
});

test("with another key held, Up means what it means in any text", () => {
  const recall = new Recall(() => ["one"]);
  const field = { value: "draft", selectionStart: 0, selectionEnd: 0 };
  for (const held of ["shiftKey", "altKey", "ctrlKey", "metaKey"]) {
    const key = /** @type {any} */ ({ key: "ArrowUp", [held]: true });
    assert.equal(recall.textFor(key, field), null);
  }
});

test("Up and Down mean other lines while there are any", () => {
  const recall = new Recall(() => ["one", "two\nlines"]);
  /** @type {(key: string, value: string, at: number) => string | null} */
  const press = (key, value, at) =>
    recall.textFor(/** @type {any} */ ({ key }), { value, selectionStart: at, selectionEnd: at });
  assert.equal(press("ArrowUp", "draft", 5), null);
  assert.equal(press("ArrowUp", "draft", 0), "two\nlines");
  assert.equal(press("ArrowUp", "two\nlines", 9), null);
  assert.equal(press("ArrowDown", "two\nlines", 0), null);
  assert.equal(press("ArrowUp", "two\nlines", 2), "one");
  assert.equal(press("ArrowDown", "one", 0), "two\nlines");
});
