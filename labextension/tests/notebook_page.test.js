/** A chat finds its user and its own cell in the views of its notebook, and shows its changes there. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Signal } from "@lumino/signaling";
import { createNotebook, lendNotebooks } from "../lib/page/cells.js";
import { NotebookPage, PROPOSE } from "../lib/page/notebook_page.js";

/** The chat's element. */
const CHAT = /** @type {any} */ ({});
const SOURCES = { c1: "x = 1", c2: "" };
const CHANGE = { cell: "c1", before: "x = 1", source: "x = 2", unknown_names: [], runs: [] };
const [metadata, markdown] = [{}, ""];

const models = Object.entries(SOURCES).map(([id, source]) => ({
  ...{ id, type: "code", sharedModel: { getSource: () => source } },
}));
const context = {
  path: "a.ipynb",
  model: {
    cells: { length: models.length, get: (/** @type {number} */ at) => models[at] },
    sharedModel: { insertCells() {} },
  },
};

/** @type {any} */
let tracker;
/** @type {any[]} The views of the notebook that are open. */
let views;
/** @type {Map<string, (args: any) => void>} */
let commands;
/** @type {any[]} */
let proposed;
/** @type {HTMLElement | null} The chat, if it is in the second cell. */
let inCell;

beforeEach(() => {
  views = [];
  inCell = null;
  tracker = { currentWidget: null, filter: (/** @type {any} */ suits) => views.filter(suits) };
  tracker.currentChanged = new Signal(tracker);
  proposed = [];
  commands = new Map([[PROPOSE, ({ panel, change }) => proposed.push([panel, change.source])]]);
});

/** Open a view of the notebook, with its first cell active; cells out of sight are not in its node. */
function open(/** @type {string} */ id) {
  const widgets = models.map((model, at) => ({
    ...{ model, isDisposed: false, editor: null },
    node: { contains: (/** @type {any} */ element) => at === 1 && element === inCell },
  }));
  /** @type {any} */
  const panel = { id, context, node: { contains: () => false } };
  panel.content = { widgets, activeCell: widgets[0] };
  panel.content.activeCellChanged = new Signal(panel.content);
  panel.disposed = new Signal(panel);
  views.push(panel);
}

function close(/** @type {string} */ id) {
  const panel = views.find((view) => view.id === id);
  views = views.filter((view) => view !== panel);
  for (const cell of panel.content.widgets) cell.isDisposed = true;
  panel.disposed.emit(undefined);
}

function notebook() {
  const registry = /** @type {any} */ ({
    hasCommand: (/** @type {string} */ id) => commands.has(id),
    execute: async (/** @type {string} */ id, /** @type {any} */ args) => commands.get(id)?.(args),
  });
  const rest = { tracker, commands: registry, manager: /** @type {any} */ ({}) };
  lendNotebooks((shown, element) => new NotebookPage({ ...rest, context: shown, element }));
  const made = createNotebook({ context }, CHAT);
  assert.ok(made);
  return made;
}

const propose = (/** @type {string} */ source) =>
  notebook().propose({ ...CHANGE, source, metadata, markdown });

test("a chat in a cell that is out of sight is not beside the notebook", () => {
  open("first");
  assert.ok(notebook().isBeside);
  assert.deepEqual(notebook().place, { path: "a.ipynb", cell: null });
  inCell = CHAT;
  assert.ok(!notebook().isBeside);
  assert.deepEqual(notebook().place, { path: "a.ipynb", cell: "c2" });
});

test("a chat goes on in the other view of a notebook when its first view is closed", async () => {
  open("first");
  open("second");
  const chat = notebook();
  close("first");
  assert.equal(chat.activeCell()?.id, "c1");
  await chat.propose({ ...CHANGE, metadata, markdown });
  assert.deepEqual(proposed, [["second", "x = 2"]]);
});

test("other notebooks that are open are named once, from the notebook's folder", () => {
  open("first");
  const chat = notebook();
  const others = ["b.ipynb", "b.ipynb", "below/c.ipynb"].map((path) => ({ context: { path } }));
  views.push(...others);
  assert.deepEqual(chat.openNotebooks, ["b.ipynb", "below/c.ipynb"]);
});

test("a change that equals its cell is refused in words", async () => {
  open("first");
  await assert.rejects(propose("x = 1"), { message: "Nothing would change." });
  assert.deepEqual(proposed, []);
});

test("cells to run are offered at the cell that needs them, which stays as it is", async () => {
  open("first");
  await notebook().propose({ ...CHANGE, source: "x = 1", runs: ["c2"], metadata, markdown });
  assert.deepEqual(proposed, [["first", "x = 1"]]);
});

test("where the plugin that shows changes is off, the refusal names it", async () => {
  open("first");
  commands.clear();
  await assert.rejects(
    propose("x = 2"),
    /Plugin jupyter-llm:actions is off.*insert the code below/,
  );
});
