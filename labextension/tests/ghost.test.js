/** What ghost text tells the kernel of a notebook, and what is left of it while somebody types. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SentCells } from "../lib/ghost/sent_cells.js";
import { schema } from "../lib/ghost/settings.js";
import { firstLine, firstWord, rest, Suggestion } from "../lib/ghost/suggestion.js";

/** @import { DocumentCell } from "../lib/connection/messages.js" */

/**
 * @param {string} id
 * @param {string} source
 * @returns {DocumentCell}
 */
function cell(id, source, is_off = false) {
  return { cell_id: id, kind: "code", source, is_off };
}

/** The cells that a kernel knows which was told these edits, one after another. */
class Kernel {
  /** @type {DocumentCell[]} */
  cells = [];
  told = new SentCells();

  /**
   * @param {DocumentCell[]} now
   * @param {string | null} [written]
   */
  tell(now, written) {
    const edit = this.told.edit(now, written);
    if (edit) this.cells.splice(edit.at, edit.remove, ...edit.insert);
    return edit;
  }
}

const SIXTY = Array.from({ length: 60 }, (_, number) => cell(`c${number}`, `x${number} = 1`));

test("of sixty cells only the one that changed is told", () => {
  const kernel = new Kernel();
  assert.equal(kernel.tell(SIXTY)?.insert.length, 60);
  assert.equal(kernel.tell(SIXTY), null);
  const now = SIXTY.with(20, cell("c20", "x20 = 2"));
  const edit = kernel.tell(now);
  assert.deepEqual(edit, {
    revision: 2,
    at: 20,
    remove: 1,
    insert: [cell("c20", "x20 = 2")],
  });
});

/** @type {[string, DocumentCell[]][]} */
const CHANGED = [
  ["inserted", SIXTY.toSpliced(7, 0, cell("new", ""))],
  ["removed", SIXTY.toSpliced(7, 3)],
  ["moved", [...SIXTY.slice(1), ...SIXTY.slice(0, 1)]],
  ["turned off", SIXTY.with(3, cell("c3", "", true))],
  ["all gone", []],
  ["the first again", SIXTY.toSpliced(1, 0, cell("again", "x0 = 1"))],
];
for (const [what, now] of CHANGED) {
  test(`the kernel knows the cells after an edit: ${what}`, () => {
    const kernel = new Kernel();
    kernel.tell(SIXTY);
    kernel.tell(now);
    assert.deepEqual(kernel.cells, now);
    kernel.tell(SIXTY);
    assert.deepEqual(kernel.cells, SIXTY);
  });
}

test("the cell that is written is told once another is", () => {
  const kernel = new Kernel();
  kernel.tell(SIXTY);
  const now = SIXTY.with(5, cell("c5", "half"));
  assert.equal(kernel.tell(now, "c5"), null);
  assert.deepEqual(kernel.tell(now, "c6")?.insert, [cell("c5", "half")]);
});

test("all is told to a kernel that is another one, an empty notebook too", () => {
  const kernel = new Kernel();
  kernel.tell(SIXTY);
  kernel.told.forget();
  assert.equal(kernel.told.edit([])?.revision, 1);
});

/**
 * @param {string} text A text with the cursor as a bar.
 */
function at(text) {
  const [prefix = "", suffix = ""] = text.split("|");
  return { prefix, suffix };
}

/** @type {[string, string, string, string | null][]} */
const TYPED = [
  ["y = |", "y = |", "sqrt(2)", "sqrt(2)"],
  ["y = |", "y = sq|", "sqrt(2)", "rt(2)"],
  ["y = |", "y = sqrt(2)|", "sqrt(2)", ""],
  ["y = |", "y = sx|", "sqrt(2)", null],
  ["y = |", "y =|", "sqrt(2)", null],
  ["f(|)", "f()|", "x", null],
  ["y = |", "y = sqrt(|)", "sqrt(2)", "2"],
  ["y = |", "y = sqrt(|)", "sqrt(2) + 1", null],
  ['s = "|"', 's = "🎉|"', "🎉🎉", "🎉"],
  ["if x:|", "if x:\n    |", "\n    y = 1\n    z = 2", "y = 1\n    z = 2"],
];
for (const [from, now, text, left] of TYPED) {
  test(`what is left of ${JSON.stringify(text)} from ${from} to ${JSON.stringify(now)}`, () => {
    assert.equal(rest(text, at(from), at(now)), left);
  });
}

/** A suggestion for an editor with this text, and what puts another text there. */
function suggest(/** @type {string} */ text) {
  let { prefix, suffix } = at(text);
  const editor = {
    isDisposed: false,
    model: { sharedModel: { getSource: () => prefix + suffix } },
    getCursorPosition: () => prefix.length,
    getOffsetAt: (/** @type {number} */ position) => position,
  };
  const put = (/** @type {string} */ now) => {
    ({ prefix, suffix } = at(now));
    return suggestion;
  };
  const suggestion = new Suggestion(/** @type {any} */ ({}), /** @type {any} */ (editor), "");
  return { suggestion, put };
}

test("a suggestion goes on while what is typed is how it begins", () => {
  const { suggestion, put } = suggest("y = |");
  assert.equal(suggestion.isFitting, false); // nothing is there yet
  suggestion.take({ type: "completion", id: "1", item: 0, text: "sq", is_final: false });
  assert.equal(put("y = sq|").isFitting, true); // more may come
  assert.equal(put("y = so|").isFitting, false);
  suggestion.take({ type: "completion", id: "1", item: 0, text: "sqrt", is_final: true });
  assert.equal(put("y = sqrt|").isFitting, false); // it is all there
});

test("another of several suggestions may go on", () => {
  const { suggestion, put } = suggest("|");
  suggestion.take({ type: "completion", id: "1", item: 0, text: "ab", is_final: true });
  suggestion.take({ type: "completion", id: "1", item: 1, text: "ac", is_final: true });
  assert.equal(put("ac|").isFitting, false);
  assert.equal(put("a|").isFitting, true);
  assert.deepEqual([suggestion.rest(0), suggestion.rest(1)], ["b", "c"]);
});

test("who waits for a change hears of each", async () => {
  const { suggestion } = suggest("|");
  for (const text of ["a", "ab"]) {
    const { changed } = suggestion;
    suggestion.take({ type: "completion", id: "1", item: 0, text, is_final: false });
    await changed;
    assert.equal(suggestion.items[0]?.text, text);
  }
  const { changed } = suggestion;
  suggestion.cancel();
  await changed;
  assert.ok(suggestion.isOver);
});

/** @type {[(text: string) => string, string, string[]][]} */
const PIECES = [
  [firstWord, "math.sqrt(2) + é_1\n    z", ["math", ".sqrt", "(2", ")", " +", " é_1", "\n    z"]],
  [firstWord, "🎉 x)", ["🎉", " x", ")"]],
  [firstWord, "\n", ["\n"]],
  [firstLine, "a = 1\n    b = 2\n\n    c", ["a = 1", "\n    b = 2", "\n\n    c"]],
];
for (const [pieceOf, text, pieces] of PIECES) {
  test(`${pieceOf.name} takes ${JSON.stringify(text)} piece by piece`, () => {
    let left = text;
    const taken = [];
    while (left) {
      const piece = pieceOf(left);
      taken.push(piece);
      left = left.slice(piece.length);
    }
    assert.deepEqual(taken, pieces);
  });
}

test("JupyterLab waits for a model that reads for minutes before it writes", () => {
  const { default: defaults } = /** @type {any} */ (schema());
  assert.ok(defaults.timeout >= 10 * 60_000);
});
