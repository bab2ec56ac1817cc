/** All that a person reads on the page can be translated. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";
import { catalogue, inSource } from "../catalogue.mjs";
import { trans } from "../lib/dom/words.js";

const SRC = new URL("../src/", import.meta.url);

/** Begins with a capital, or has blanks between words, or ends with an ellipsis. */
const READ = /^[A-Z][a-z]+$|[\p{L}\d:.,!?)%]\s+[({]?[\p{L}\d%]|\p{L}…$/u;

/** What looks so and is for programs, by its beginning or its end. */
const UNREAD = [
  /^[\s.#:*>+~[\]="'()|,-]*(?:jllm|jp|cm|lm|lm-mod|hljs)-/, // classes and selectors
  /^(?:Arrow\w+|Page(?:Up|Down)|Enter|Escape|Tab|Home|End|Backspace|Delete|Cell|Files)$/, // names
  /px$|^<|<.svg>$|^noopener|^ul, ol|^%load_ext|^pip |^\[image/, // code
  /^(?:turn|notice|pending|taken|chat|.tokens) %1$/, // names that bear a number
  /characters left out …\]|^Asked of this cell/, // what a model reads
];

/**
 * Texts that a person may read and that say something outside of `trans`.
 *
 * @param {ts.Node} node
 * @returns {string[]}
 */
function bare(node) {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node))
    return [];
  if (ts.isPropertyAssignment(node) && node.name.getText() === "description") return []; // of plugins
  if (ts.isNewExpression(node) && /^Token\b/.test(node.expression.getText())) return [];
  if (ts.isCallExpression(node)) {
    const [, said] = /^trans\.(__|_n)$/.exec(node.expression.getText()) ?? [];
    if (said) return node.arguments.slice(said === "_n" ? 2 : 1).flatMap(bare);
  }
  /** @type {string[]} */
  const found = [];
  ts.forEachChild(node, (child) => void found.push(...bare(child)));
  const text = ts.isTemplateExpression(node)
    ? [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join("%1")
    : ts.isStringLiteralLike(node) && node.text;
  const isRead = text && /\p{L}/u.test(text) && READ.test(text);
  return isRead && !UNREAD.some((one) => one.test(text)) ? [...found, text] : found;
}

test("translators get the texts of the page and of its settings, each once", () => {
  const entries = catalogue().split("\n\n");
  assert.equal(new Set(entries).size, entries.length);
  for (const entry of [
    'msgid "Insert below"\nmsgstr ""',
    'msgid "%1 turn"\nmsgid_plural "%1 turns"\nmsgstr[0] ""\nmsgstr[1] ""',
    'msgctxt "settings"\nmsgid "Badges"\nmsgstr ""',
  ]) {
    assert.ok(entries.includes(entry), entry);
  }
});

test("what translators' tools would not find is refused", () => {
  assert.equal(inSource('trans._n("%1 line", "%1 lines", 2)').length, 1);
  for (const code of [
    "trans.__(text)",
    "trans.__(`text`)",
    'translate.__("text")',
    'trans._n("a", b)',
  ]) {
    assert.throws(() => inSource(code), /Translators cannot find/, code);
  }
});

test("all that a person reads is said in the page's language", () => {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  const found = names
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => {
      const text = readFileSync(new URL(name, SRC), "utf8");
      const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
      return bare(source).map((one) => `${name}: ${one}`);
    });
  assert.deepEqual(found, []);
});

test("the count is the first value, of one too, as JupyterLab has it", () => {
  assert.equal(trans.__("%2 of %1, 5 %", 3, "a"), "a of 3, 5 %");
  assert.equal(trans._n("%1 line of %2", "%1 lines of %2", 1, "a"), "1 line of a");
  assert.equal(trans._n("%1 line of %2", "%1 lines of %2", 0, "a"), "0 lines of a");
});
