/** `%%llm` cells are Markdown while they are such, and code before and after. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Signal } from "@lumino/signaling";
import { letLand } from "../lib/prompt_cells/landing.js";
import { colourPrompts, isPromptCell, MARKDOWN } from "../lib/prompt_cells/prompt_cell.js";

const PYTHON = "text/x-ipython";

/** @import { EditedCell } from "../lib/prompt_cells/prompt_cell.js" */

/** As a cell's model in JupyterLab, with what this asks of it. */
class Cell {
  isDisposed = false;
  /** @type {Set<(...args: any[]) => void>} */
  #typeSlots = new Set();
  /** @type {Set<(...args: any[]) => void>} */
  slots = new Set();
  #type = PYTHON;
  source = "";
  mimeTypeChanged = signal(this.#typeSlots);
  sharedModel = { changed: signal(this.slots), getSource: () => this.source };

  get mimeType() {
    return this.#type;
  }

  set mimeType(newValue) {
    const oldValue = this.#type;
    this.#type = newValue;
    for (const slot of this.#typeSlots) slot(this, { name: "mimeType", oldValue, newValue });
  }

  /** @param {string} source */
  write(source) {
    this.source = source;
    for (const slot of this.slots) slot(this.sharedModel);
  }
}

/** @param {Set<any>} slots */
function signal(slots) {
  return {
    /** @param {any} slot */
    connect: (slot) => slots.add(slot),
    /** @param {any} slot */
    disconnect: (slot) => slots.delete(slot),
  };
}

/** @type {Cell} */
let cell;

beforeEach(() => {
  cell = new Cell();
  colourPrompts(/** @type {EditedCell} */ (/** @type {unknown} */ (cell)));
});

test("a prompt is a cell that begins with the magic", () => {
  for (const source of ["%%llm", "%%llm -f code\nx", "\n  %%llm\nx", "%%llm\t-t 0"]) {
    assert.ok(isPromptCell(source), source);
  }
  for (const source of ["", "%llm x", "%%llmx", "%%llm-x", "x = 1\n%%llm", "# %%llm", "%%bash"]) {
    assert.ok(!isPromptCell(source), source);
  }
});

test("a cell is Markdown while it is a prompt, and what it was otherwise", () => {
  const seen = ["%", "%%ll", "%%llm", "%%llm -t 0", "%%llmx", "%%llm\nx", "x"].map((source) => {
    cell.write(source);
    return cell.mimeType;
  });
  const [code, text] = [PYTHON, MARKDOWN];
  assert.deepEqual(seen, [code, code, text, text, code, text, code]);
});

test("the language that the kernel names later is the one that is gone back to", () => {
  cell.write("%%llm\nx");
  cell.mimeType = "text/x-other";
  assert.equal(cell.mimeType, MARKDOWN);
  cell.write("x");
  assert.equal(cell.mimeType, "text/x-other");
});

test("a cell that has gone is left alone", () => {
  cell.isDisposed = true;
  cell.write("%%llm");
  assert.equal(cell.mimeType, PYTHON);
  assert.equal(cell.slots.size, 0);
});

test("code lands once, however many views a notebook has", () => {
  const added = /** @type {Signal<any, any>} */ (new Signal({}));
  letLand({ added });
  const received = /** @type {Signal<any, any>} */ (new Signal({}));
  /** @type {any[]} */
  const told = [];
  const connection = { received, call: (/** @type {any[]} */ ...call) => told.push(call) };
  const panel = { context: { model: { cells: { length: 0 } } } };
  added.emit({ panel, connection });
  added.emit({ panel, connection });
  received.emit({ type: "put-cells", id: "1", cell: "c", cells: [], before: null });
  assert.deepEqual(
    told.map(([method, { target, landing }]) => [method, target, landing.refusal]),
    [["landed", "1", "gone"]],
  );
});
