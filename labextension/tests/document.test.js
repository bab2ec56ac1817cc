/** Cells of a document that others may be changing, too: the models are JupyterLab's own. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { YNotebook } from "@jupyter/ydoc";
import { isOff, NotebookDocument } from "../lib/page/document.js";

/** @type {YNotebook[]} */
const opened = [];

afterEach(() => {
  for (const notebook of opened.splice(0)) notebook.dispose();
});

/**
 * A notebook with cells of these sources, called a, b, c and so on.
 *
 * @param {string[]} sources
 */
function open(...sources) {
  const shared = YNotebook.create({ disableDocumentWideUndoRedo: true });
  opened.push(shared);
  const cells = sources.map((source, at) => ({ cell_type: "code", id: "abc"[at] ?? "", source }));
  shared.insertCells(0, cells);
  const model = {
    readOnly: false,
    sharedModel: shared,
    cells: {
      get length() {
        return shared.cells.length;
      },
      get: (/** @type {number} */ at) => {
        const cell = shared.getCell(at);
        return { id: cell.id, type: cell.cell_type, sharedModel: cell };
      },
    },
  };
  // As `any`, since JupyterLab's types know less of these models than there is.
  const notebook = new NotebookDocument(/** @type {any} */ (model));
  const texts = () => shared.cells.map((cell) => cell.getSource());
  return { model, notebook, shared, texts };
}

/** @param {string[]} codes */
const toLand = (...codes) =>
  codes.map((body) => ({ source: `# Generated\n${body}`, body, metadata: {} }));

test("what is typed before and after a change is undone apart from it", () => {
  const { notebook, shared } = open("x = 1\ny = 2");
  const cell = shared.getCell(0);
  const text = () => cell.getSource();
  cell.updateSource(0, 0, "# before\n");
  assert.equal(notebook.replace("a", { source: "# before\nx = 1\ny = 3" }), null);
  cell.updateSource(0, 0, "# after\n");
  const seen = [0, 1, 2].map(() => [cell.undo(), text()][1]);
  assert.deepEqual(seen, ["# before\nx = 1\ny = 3", "# before\nx = 1\ny = 2", "x = 1\ny = 2"]);
});

test("inserted cells are one step to undo", () => {
  const { notebook, shared, texts } = open("a", "b");
  assert.equal(notebook.insertBelow([{ source: "c" }, { source: "d" }], "a"), null);
  assert.deepEqual(texts(), ["a", "c", "d", "b"]);
  notebook.insertBelow([{ source: "e" }], null);
  shared.undo();
  assert.deepEqual(texts(), ["a", "c", "d", "b"]);
  shared.undo();
  assert.deepEqual(texts(), ["a", "b"]);
});

test("what somebody else writes in another line meanwhile stays", () => {
  const { notebook, shared } = open("one = 1\ntwo = 2\nthree = 3");
  const cell = shared.getCell(0);
  /** @type {unknown[]} */
  const changes = [];
  cell.changed.connect((_, { sourceChange = [] }) => void changes.push(...sourceChange));
  notebook.replace("a", { source: "one = 10\ntwo = 2\nthree = 30" });
  assert.deepEqual(changes, [{ retain: 7 }, { insert: "0" }, { retain: 18 }, { insert: "0" }]);
  const theirs = () => cell.ysource.insert("one = 10\ntwo = 2".length, "  # theirs");
  shared.ydoc.transact(theirs, "somebody else");
  assert.equal(cell.getSource(), "one = 10\ntwo = 2  # theirs\nthree = 30");
  cell.undo();
  assert.equal(cell.getSource(), "one = 1\ntwo = 2  # theirs\nthree = 3");
});

test("what is read-only, gone or another by now is left as it is", () => {
  const { model, notebook, shared, texts } = open("x = 1", "y = 1");
  shared.getCell(1).setMetadata("editable", false);
  assert.equal(notebook.replace("a", { source: "x = 2" }, "x = 0"), "changed");
  assert.equal(notebook.replace("b", { source: "y = 2" }), "cell");
  assert.equal(notebook.replace("c", { source: "z = 2" }), "gone");
  assert.equal(notebook.insertBelow([{ source: "z = 2" }], "c"), "gone");
  assert.equal(notebook.land("c", toLand("z = 2"), null).refusal, "gone");
  assert.equal(notebook.land("b", toLand("y = 2"), "y = 1").refusal, "cell");
  model.readOnly = true;
  assert.equal(notebook.replace("a", { source: "x = 2" }), "notebook");
  assert.equal(notebook.insertBelow([{ source: "z = 2" }], "a"), "notebook");
  assert.equal(notebook.land("a", toLand("z = 2"), null).refusal, "notebook");
  assert.deepEqual(texts(), ["x = 1", "y = 1"]);
});

test("a cell that runs again changes what it made, but for what the user has changed or copied", () => {
  const { notebook, shared, texts } = open("%%llm", "after");
  assert.equal(notebook.land("a", toLand("x = 1000 * 1000", "y = 1"), null).num_replaced, 0);
  const first = ["%%llm", "# Generated\nx = 1000 * 1000", "# Generated\ny = 1", "after"];
  assert.deepEqual(texts(), first);
  const again = toLand("x = 1000 * 1000", "y = 1").map((cell) => ({ ...cell, source: "# other" }));
  assert.equal(notebook.land("a", again, null).is_same, true);
  const copy = shared.getCell(1).toJSON();
  shared.insertCell(4, /** @type {any} */ ({ ...copy, id: "copy" }));
  shared.getCell(2).setSource("y = 'mine'");
  // A line of a record stays, beside which the new one is written.
  const pieces = { jupyter_llm: { pieces: "" } };
  const next = toLand("x = 1000 * 1000\nz = 1").map((cell) => ({ ...cell, metadata: pieces }));
  for (const [num, source] of [
    [1, "# Generated\nx = 1000 * 1000\nz = 1"],
    [1, "# Generated\nx = 1000 * 1000\nz = 2"],
  ]) {
    const wanted = next.map((cell) => ({ ...cell, source: String(source), body: String(source) }));
    const landing = notebook.land("a", wanted, null);
    assert.deepEqual([landing.num_replaced, landing.num_staying], [num, 1]);
    assert.deepEqual(texts(), ["%%llm", source, "y = 'mine'", "after", first[1]]);
  }
});

test("code that takes the place of its cell has the rest of it below", () => {
  const { notebook, texts } = open("%%llm --replace", "after");
  assert.equal(notebook.land("a", toLand("x", "y"), "%%llm").refusal, "changed");
  assert.equal(notebook.land("a", toLand("x", "y"), "%%llm --replace\n").num_replaced, 1);
  assert.deepEqual(texts(), ["# Generated\nx", "# Generated\ny", "after"]);
});

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
