/** What is being written is told now and then, once, and never in the way of what is sent. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Drafting } from "../lib/compose/drafting.js";

/** @import { Draft } from "../lib/compose/drafting.js" */

/** @type {Draft} */
let field;
/** @type {string[]} */
let told;
/** @type {() => void} */
let arrive;
/** @type {Drafting} */
let drafting;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  field = { text: "", along: {} };
  told = [];
  drafting = new Drafting(
    () => field,
    ({ text }) => {
      told.push(text);
      return new Promise((resolve) => {
        arrive = () => resolve(null);
      });
    },
  );
});

/**
 * Change what is there, and let time pass.
 *
 * @param {string} text
 * @param {number} [ms]
 */
async function type(text, ms = 200) {
  field = { ...field, text };
  drafting.changed();
  await pass(ms);
}

/**
 * @param {number} ms
 */
async function pass(ms) {
  mock.timers.tick(ms);
  await Promise.resolve();
}

/** Let the kernel take what it was told. */
async function taken() {
  arrive();
  await Promise.resolve();
  await Promise.resolve();
}

test("it is told after a pause, and only if it is another one", async () => {
  await type("Why", 299);
  assert.deepEqual(told, []);
  await pass(1);
  assert.deepEqual(told, ["Why"]);
  await taken();
  await type("Why", 1000);
  assert.deepEqual(told, ["Why"]);
});

test("somebody who types on and on is heard meanwhile", async () => {
  for (const text of ["W", "Wh", "Why", "Why ", "Why i", "Why is"]) {
    await type(text);
    if (told.length > 0) await taken();
  }
  assert.deepEqual(told, ["Wh", "Why ", "Why is"]);
});

test("the end of a sentence is told at once, since Enter may be next", async () => {
  await type("Why", 100);
  await type("Why?", 0);
  assert.deepEqual(told, ["Why?"]);
  await taken();
  await pass(1000);
  assert.deepEqual(told, ["Why?"]);
});

test("what was sent is told no more, nor that nothing is there", async () => {
  await type("Why", 300);
  await taken();
  await type("Why so", 100);
  drafting.sent();
  await type("", 1000);
  assert.deepEqual(told, ["Why"]);
  await type("Why", 300); // the same once more is news
  assert.deepEqual(told, ["Why", "Why"]);
});

test("an emptied field drops the draft, also when the view goes", async () => {
  await type("Why", 300);
  await taken();
  await type("  ", 300);
  await taken();
  await type("How", 300);
  await taken();
  drafting.dispose();
  await pass(1000);
  assert.deepEqual(told, ["Why", "", "How", ""]);
});

test("what goes along is a part of it", async () => {
  await type("Why", 300);
  await taken();
  field = { ...field, along: { isAlone: true } };
  await type("Why", 300);
  assert.deepEqual(told, ["Why", "Why"]);
});

test("drafts do not pile up where nobody takes them", async () => {
  await type("W", 300);
  await type("Wh", 1000);
  await type("Why", 1000);
  assert.deepEqual(told, ["W"]);
  await taken();
  await pass(300);
  assert.deepEqual(told, ["W", "Why"]);
});
