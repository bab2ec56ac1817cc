/** What of a document is told its kernel, and what becomes of what was asked while somebody types. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Connection } from "../lib/connection/connection.js";
import { piecesOf } from "../lib/dom/pieces.js";
import { notebookDesk, otherDesk } from "../lib/ghost/desks.js";
import { DocumentGhost } from "../lib/ghost/document_ghost.js";
import { noteTaken } from "../lib/ghost/taken.js";
import { followCells } from "../lib/page/at_cells.js";
import { labelOf, madeBy } from "../lib/provenance/made.js";
import { JupyterKernel, Notebook, openPage, settle, until } from "./jupyter.js";
import { View } from "./view.js";

const PAUSE_MS = 300;

/** @type {JupyterKernel} */
let kernel;
/** @type {DocumentGhost} */
let ghost;
/** @type {View} */
let view;
/** @type {unknown[]} */
let heard;

beforeEach(() => {
  mock.reset();
  for (const name of /** @type {const} */ (["debug"])) mock.method(console, name, () => {}); // Jupyter tells there what it does
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] }); // documents look after themselves
  openPage();
  kernel = new JupyterKernel();
  kernel.welcome.model = "SmolLM2-135M-Instruct";
});

/** Open a notebook whose first cell is active; nothing is told yet. */
async function open(sources = ["import math", "y = "], tags = {}) {
  const notebook = new Notebook(kernel.connect());
  const connection = new Connection(/** @type {any} */ (notebook));
  heard = [];
  view = new View(sources, tags);
  ghost = new DocumentGhost(notebookDesk(/** @type {any} */ (view)), connection, {
    onTyped: (_, isBlank) => void heard.push(isBlank ? "blank" : "typed"),
    onStale: () => void heard.push("stale"),
  });
  await until(() => connection.state === "open");
  return connection;
}

/** Open one, and tell the kernel of it. */
async function opened(sources = ["import math", "y = "], tags = {}) {
  const connection = await open(sources, tags);
  await pause();
  return connection;
}

async function pause() {
  await settle();
  mock.timers.tick(PAUSE_MS);
  await settle();
}

/** What was told but for the hello, and without the ids. */
function told() {
  const messages = kernel.told().filter(({ method }) => method !== "hello");
  return messages.map(({ id: _, ...message }) => message);
}

/** Ask in the active cell, as the completer of JupyterLab does. */
async function ask() {
  const asked = ghost.ask({ is_invoked: false, num_items: 1, max_lines: 8 });
  await settle();
  return asked;
}

/** Let the kernel suggest something for what was asked last. */
async function suggest(/** @type {string} */ text, is_final = false) {
  const { id } = kernel.told("complete").at(-1);
  kernel.say({ type: "completion", id, item: 0, text, is_final });
  if (is_final) kernel.say({ type: "reply", id, value: null });
  await settle();
}

/** The cell and the editor with a number. */
function at(number = 0) {
  const cell = view.cells[number];
  assert.ok(cell);
  return { cell: /** @type {any} */ (cell), editor: cell.editor };
}

function cancelled() {
  return kernel.told("stop").map(({ target }) => target);
}

function code(/** @type {string} */ id, /** @type {string} */ source, is_off = false) {
  return { cell_id: id, kind: "code", source, is_off };
}

test("after a pause the kernel is told the cells and where the person is, once", async () => {
  await open();
  mock.timers.tick(PAUSE_MS - 1);
  await settle();
  assert.deepEqual(told(), []);
  mock.timers.tick(1);
  await settle();
  const insert = [code("c0", "import math"), code("c1", "y = ")];
  const both = [
    { method: "cells", revision: 1, at: 0, remove: 0, insert },
    { method: "focus", revision: 1, cell: "c0" },
  ];
  assert.deepEqual(told(), both);
  at(0).cell.model.contentChanged.emit(null);
  await pause();
  assert.deepEqual(told(), both);
});

test("who comes to another cell tells of what was written in the one before, and where they are", async () => {
  await opened();
  at(0).editor.type(" as m");
  await pause();
  assert.equal(told().length, 2);
  view.enter(1);
  await pause();
  assert.deepEqual(told().slice(2), [
    { method: "cells", revision: 2, at: 0, remove: 1, insert: [code("c0", "import math as m")] },
    { method: "focus", revision: 2, cell: "c1" },
  ]);
});

test("while one cell is written no other one is looked at, until one changes or goes", async () => {
  await opened(["a", "b", "c"]);
  const looks = mock.method(at(2).cell.model.sharedModel, "getSource");
  at(0).editor.type("1");
  await ask();
  await pause();
  assert.equal(looks.mock.callCount(), 0);
  view.remove(1);
  at(1).editor.type("1");
  await pause();
  const edit = told().at(-2);
  assert.deepEqual(edit.insert, [code("c2", "c1")]);
  assert.deepEqual([edit.at, edit.remove], [1, 2]);
});

test("another view of a notebook tells nothing again, and knows the model", async () => {
  const connection = await opened();
  const before = told().filter(({ method }) => method === "cells").length;
  const desk = notebookDesk(/** @type {any} */ (view));
  const other = new DocumentGhost(desk, connection, { onTyped: () => {}, onStale: () => {} });
  await pause();
  assert.equal(told().filter(({ method }) => method === "cells").length, before);
  const asked = other.ask({ is_invoked: false, num_items: 1, max_lines: 8 });
  assert.equal(asked?.model, "SmolLM2-135M-Instruct");
});

test("once a view is closed nobody hears of its cells, which may be shown in another", async () => {
  await opened();
  let numHeard = 0;
  followCells(view.content, () => {
    numHeard += 1;
  });
  await settle();
  view.close();
  const before = numHeard;
  at(0).editor.type("1");
  assert.equal(numHeard, before);
});

test("who goes past cells does not tell of each", async () => {
  await opened(["a", "b", "c"]);
  view.enter(1);
  await settle();
  mock.timers.tick(PAUSE_MS - 1);
  view.enter(2);
  await pause();
  assert.deepEqual(
    kernel.told("focus").map(({ cell }) => cell),
    ["c0", "c2"],
  );
});

test("a kernel that misses something is told all again, and where the person is", async () => {
  await opened();
  view.enter(1);
  await pause();
  kernel.say({ type: "resend" });
  await pause();
  const [cells, focus] = told().slice(-2);
  assert.deepEqual([cells.method, cells.revision, cells.insert.length], ["cells", 1, 2]);
  assert.deepEqual(focus, { method: "focus", revision: 1, cell: "c1" });
});

test("another kernel is told all again", async () => {
  await opened();
  await ask();
  kernel.load(false);
  await settle();
  kernel.load();
  await until(() => kernel.told("hello").length === 2);
  await pause();
  const [cells] = told().slice(-2);
  assert.deepEqual([cells.method, cells.revision, cells.insert.length], ["cells", 1, 2]);
});

test("of a cell that is off its source is not told, nor is anything asked there", async () => {
  await opened(["secret = 1", "y = "], { 0: ["llm-off"] });
  assert.deepEqual(told()[0].insert, [code("c0", "", true), code("c1", "y = ")]);
  assert.ok((await ask()) === null);
  assert.deepEqual(kernel.told("complete"), []);
});

test("what is asked is about the place of the cursor in the cells that were told before", async () => {
  await open();
  view.enter(1);
  at(1).editor.move(1);
  const asked = await ask();
  assert.equal(told()[0].method, "cells");
  assert.deepEqual(told()[1], {
    method: "complete",
    revision: 1,
    place: {
      ...{ cell_id: "c1", kind: "code", prefix: "y", suffix: " = " },
      ...{ is_invoked: false, num_items: 1, max_lines: 8 },
    },
  });
  assert.equal(asked?.target, kernel.told("complete")[0].id);
});

test("of a long text what is around the cursor is told, from one line on while one types there", async () => {
  await opened([Array.from({ length: 9000 }, (_, number) => `x${number} = 1`).join("\n")]);
  const begins = async () => {
    await ask();
    const { prefix, suffix } = kernel.told("complete").at(-1).place;
    assert.ok(prefix.length + suffix.length <= 40_000);
    return prefix.split("\n", 1)[0];
  };
  at().editor.move(75_000);
  const first = await begins();
  assert.match(first, /^x\d+ = 1$/);
  at().editor.type("\ny = 2\nz = 3\n");
  assert.equal(await begins(), first);
});

test("of a line of a megabyte the kernel gets what is around the cursor, and no half characters", async () => {
  await opened(["🙂x".repeat(350_000)]);
  for (const place of [1_000_000, 1_000_001, 1_000_002]) {
    at().editor.move(place);
    await ask();
    const { prefix, suffix } = kernel.told("complete").at(-1).place;
    assert.ok(prefix.length > 9_000 && prefix.length + suffix.length <= 30_000);
    assert.doesNotMatch(prefix, /^[\uDC00-\uDFFF]/);
    assert.doesNotMatch(suffix, /[\uD800-\uDBFF]$/);
  }
});

test("of a short cell the kernel gets no half characters, either", async () => {
  await opened(["x = '🙂'"]);
  at().editor.move(6);
  await ask();
  const { prefix, suffix } = kernel.told("complete").at(-1).place;
  assert.deepEqual([prefix, suffix], ["x = '", "'"]);
});

for (const [localPath, isFile] of /** @type {[string | undefined, boolean][]} */ ([
  ["work/a.py", true],
  ["a.txt", false],
  [undefined, false],
])) {
  test(`ghost text ${isFile ? "goes" : "does not go"} on with a file at ${localPath}`, () => {
    const editor = { model: { sharedModel: {} } };
    const widget = /** @type {any} */ ({ context: { localPath }, content: { editor } });
    assert.equal(otherDesk(widget) !== null, isFile);
  });
}

test("a key that matches keeps what is suggested, and the kernel hears nothing", async () => {
  await opened();
  const asked = await ask();
  await suggest("\nx = 1");
  const before = told();
  at().editor.type("\nx");
  await settle();
  assert.ok(ghost.fitting(at().cell) === asked); // not `equal`, which would print a document
  assert.deepEqual(told(), before);
  assert.ok(!asked?.isCancelled);
});

for (const [what, act] of /** @type {[string, () => void][]} */ ([
  ["a key that does not match", () => at().editor.type("y")],
  ["a key that takes away", () => at().editor.type("", 1)],
  ["the cursor that goes elsewhere", () => at().editor.move(0)],
  ["who goes to another cell", () => view.enter(1)],
  ["a view that is closed", () => view.close()],
])) {
  test(`what was asked is cancelled in the kernel by ${what}`, async () => {
    await opened();
    const asked = await ask();
    await suggest("\nx");
    act();
    await settle();
    assert.deepEqual(cancelled(), [asked?.target]);
    assert.ok(asked?.isCancelled);
    assert.ok(ghost.fitting(at().cell) === null);
  });
}

test("a key that does not match cancels before anything else can be shown", async () => {
  await opened();
  const asked = await ask();
  at().editor.type("y");
  assert.ok(asked?.isCancelled);
});

test("what is asked anew cancels what was asked before", async () => {
  await opened();
  const [one, other] = [await ask(), await ask()];
  assert.deepEqual(cancelled(), [one?.target]);
  assert.ok(!other?.isCancelled);
});

test("what the kernel has finished is not cancelled there", async () => {
  await opened();
  const asked = await ask();
  await suggest("\nx = 1", true);
  assert.ok(asked?.isOver);
  at().editor.type("y");
  await settle();
  assert.deepEqual(cancelled(), []);
});

test("what is typed is said, and whether nothing stands before the cursor in its line", async () => {
  await opened();
  const { editor } = at();
  editor.type("\n    ");
  editor.type("x");
  editor.type("", 1);
  assert.deepEqual(heard, ["blank", "typed", "typed"]);
});

test("what is changed in a cell by others is nothing that was typed", async () => {
  await opened();
  const { editor } = at();
  editor.isFocused = false;
  editor.type("\n");
  assert.deepEqual(heard, []);
});

test("only a cursor that moves away by itself makes what is shown stale", async () => {
  await opened();
  await ask();
  await suggest("\nx");
  at().editor.type("\n");
  await settle();
  assert.deepEqual(heard, ["blank"]);
  at().editor.move(0);
  await settle();
  assert.deepEqual(heard, ["blank", "stale"]);
});

test("without a model the kernel is told the cells, for names of cells that have not run", async () => {
  kernel.welcome.model = null;
  await opened();
  const methods = told().map(({ method }) => method);
  assert.deepEqual(methods, ["cells", "focus"]);
});

test("without a model nothing is asked, until there is one", async () => {
  kernel.welcome.model = null;
  await opened();
  assert.ok((await ask()) === null);
  kernel.say({ type: "model", model: "SmolLM2-135M-Instruct" });
  await pause();
  assert.ok((await ask()) !== null);
  kernel.say({ type: "model", model: null });
  await settle();
  assert.ok((await ask()) === null);
});

test("another model is told where the person is, and no cells again", async () => {
  await opened();
  kernel.say({ type: "model", model: "another" });
  await pause();
  assert.deepEqual(told().slice(2), [{ method: "focus", revision: 1, cell: "c0" }]);
});

test("what was asked of a kernel that ends waits no more", async () => {
  const connection = await opened();
  const asked = await ask();
  kernel.die();
  await until(() => connection.state !== "open");
  assert.ok(asked?.isOver && asked.isCancelled);
  assert.ok(ghost.fitting(at().cell) === null);
});

test("why nothing is suggested is what the kernel says", async () => {
  await opened();
  const asked = await ask();
  kernel.say({ type: "error", id: asked?.target, text: "No room." });
  await settle();
  assert.deepEqual([asked?.isOver, asked?.error], [true, "No room."]);
});

test("what was taken is noted by whole lines and whose they are, and no step for undo", async () => {
  process.env.TZ = "America/Los_Angeles"; // where it is yet the day before in the morning of UTC
  await opened(["y = (1)"]);
  at().editor.move(5);
  const asked = await ask();
  assert.ok(asked);
  await suggest("x * 2\n + 1", true);
  kernel.say({ type: "model", model: "another" });
  await settle();
  const { sharedModel } = at().cell.model;
  const noted = () => sharedModel.getMetadata("jupyter_llm_completed");
  for (const [typed, lines] of [
    ["x ", "y = (x 1)"],
    ["* 2\n", "y = (x * 2"],
    [" + 1", "y = (x * 2\n + 11)"],
  ]) {
    at().editor.type(String(typed));
    sharedModel.clearUndoHistory();
    noteTaken(asked);
    const [{ model, pieces, time }, ...others] = noted();
    assert.deepEqual([model, pieces], ["SmolLM2-135M-Instruct", piecesOf(String(lines))]);
    assert.deepEqual(others, []);
    assert.equal(sharedModel.canUndo(), false);
    assert.ok(Date.now() - Date.parse(time) < 60_000); // not the midnight of UTC
  }
  const [made] = madeBy({ jupyter_llm_completed: noted() }, sharedModel.getSource());
  assert.ok(made?.time);
  const today = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" }).format();
  assert.equal(labelOf([made], "en-GB"), `SmolLM2-135M-Instruct · ${today}`);
});

test("who goes on behind what was taken keeps its note, and of what was there nothing is noted", async () => {
  await opened(["return x\n\n"]);
  const { sharedModel } = at().cell.model;
  const take = async (/** @type {string} */ text) => {
    at().editor.move(sharedModel.getSource().length);
    const asked = await ask();
    assert.ok(asked);
    await suggest(text, true);
    at().editor.type(text);
    noteTaken(asked);
    return sharedModel.getMetadata("jupyter_llm_completed")?.[0].pieces;
  };
  assert.equal(await take("return x"), undefined);
  const [line, next] = ["total = df.groupby(city)", "share = total / total.sum()"];
  at().editor.type("\n");
  assert.equal(await take(line), piecesOf(line));
  at().editor.type(".sum()\n");
  assert.equal(await take(next), piecesOf(`${line}\n${next}`));
});
