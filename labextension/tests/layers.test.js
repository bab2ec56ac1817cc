/** Imports go down the list of folders only, those of types too, and no files import each other. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

const SRC = new URL("../src/", import.meta.url);

// From the top down. Folders on one line do not import each other.
const FOLDERS = [
  ["."],
  ["provenance"],
  ["actions", "frame", "prompt_cells", "sidebar", "status_bar"],
  ["compose", "ghost", "talk"],
  ["markdown", "models", "page"],
  ["kernel"],
  ["connection"],
  ["dom"],
];

// `import … from "…"`, `import("…")`, also of types only, and `@import "…"` in style sheets.
const IMPORT = /\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g;

/** @typedef {Record<string, string[]>} Arrows What each file imports of the others. */

/**
 * @returns {Record<string, string>}
 */
function sources() {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => /\.(?:ts|css)$/.test(name));
  return Object.fromEntries(
    files.map((name) => [name.replaceAll("\\", "/"), readFileSync(new URL(name, SRC), "utf8")]),
  );
}

/**
 * @param {Record<string, string>} texts
 * @returns {Arrows}
 */
function arrows(texts) {
  const found = Object.entries(texts).map(([name, text]) => {
    // What is imported bears the name that it has once it is compiled.
    const names = [...text.matchAll(IMPORT)].map((match) => String(match[1]).replace(/js$/, "ts"));
    return [name, names.map((other) => posix.join(posix.dirname(name), other))];
  });
  return Object.fromEntries(found);
}

/**
 * @param {string} name
 * @returns {number}
 */
function rank(name) {
  const found = FOLDERS.findIndex((folders) => folders.includes(posix.dirname(name)));
  assert.notEqual(found, -1, `${name} lies in no folder of the list`);
  return found;
}

/**
 * @param {Arrows} imported
 * @returns {string[]}
 */
function wrongImports(imported) {
  return Object.entries(imported).flatMap(([name, others]) =>
    others
      .filter((other) => posix.dirname(name) !== posix.dirname(other) && rank(name) >= rank(other))
      .map((other) => `${name} imports ${other}`),
  );
}

/**
 * Take away, again and again, what imports nothing of the rest. Left are circles and what leads to
 * them.
 *
 * @param {Arrows} imported
 * @returns {string[]}
 */
function inCircles(imported) {
  const left = new Set(Object.keys(imported));
  for (let before = Number.POSITIVE_INFINITY; left.size < before; ) {
    before = left.size;
    for (const name of left) {
      if (!imported[name]?.some((other) => left.has(other))) left.delete(name);
    }
  }
  return [...left];
}

test("imports point down", () => {
  const imported = arrows(sources());
  assert.ok(Object.values(imported).flat().length > 100);
  assert.deepEqual(wrongImports(imported), []);
});

test("no files import each other in a circle", () => {
  assert.deepEqual(inCircles(arrows(sources())), []);
});

test("the first line of each file says what it is", () => {
  const silent = Object.entries(sources()).filter(([, text]) => !/^\/\*\*? \S+ \S/.test(text));
  assert.deepEqual(silent, []);
});

for (const [kind, name, text] of [
  ["up", "dom/a.ts", 'import { b } from "../kernel/b.js";'],
  ["a type only", "kernel/a.ts", 'import type { B } from "../talk/b.js";'],
  ["a type in passing", "page/a.ts", 'let b: import("../frame/b.js").B;'],
  ["sideways", "talk/a.ts", 'import {\n  b,\n} from "../compose/b.js";'],
  ["a style", "dom/a.css", '@import "../frame/b.css";'],
  ["to the top", "frame/a.ts", 'import "../chat_panel.js";'],
]) {
  test(`an import that does not point down is found: ${kind}`, () => {
    assert.equal(wrongImports(arrows({ [String(name)]: String(text) })).length, 1);
  });
}

test("a circle is found", () => {
  const circle = {
    "dom/a.ts": 'from "./b.js"',
    "dom/b.ts": 'from "./c.js"',
    "dom/c.ts": 'from "./a.js"',
  };
  const others = { "dom/d.ts": 'from "./e.js"', "dom/e.ts": "" };
  assert.deepEqual(inCircles(arrows({ ...circle, ...others })), Object.keys(circle));
});
