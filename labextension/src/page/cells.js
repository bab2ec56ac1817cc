/** The notebook that a panel is in, where the page lets it in: JupyterLab 4 and Notebook 7.
 *
 * There a widget reaches the document through its widget manager. Elsewhere (VS Code, Colab, pages
 * without a notebook) there is none, and code lands by way of the kernel.
 */

import { setMetadata } from "../dom/pieces.js";
import { isOff } from "./off_cells.js";
import { outputsText, shortened } from "./outputs.js";
import { PageCells } from "./page_cells.js";

/** @import { AnyModel } from "@anywidget/types" */
/** @import { Attachment, Transcript } from "../connection/messages.js" */
/** @import { Output } from "./outputs.js" */

/**
 * Where the cells stand on the page: found there, or told by a host that knows the notebook.
 *
 * @typedef {object} CellsOnPage
 * @property {() => string | null} activeId
 * @property {() => string | null} selection  What is selected in the active cell; null: unknown.
 * @property {() => number} ownPlace
 * @property {(listener: () => void) => () => void} onActiveChanged
 * @property {() => void} leaveHiddenMath
 * @property {() => void} dispose
 */

/** @typedef {{ id: string, index: number, source: string, type: string }} Cell */
/** @typedef {{ id?: string, source: string, metadata?: Record<string, unknown> }} NewCell */

/**
 * What is used of JupyterLab's models.
 *
 * @typedef {object} SharedCell
 * @property {() => string} getSource
 * @property {(source: string) => void} setSource
 * @property {(key: string) => unknown} getMetadata
 * @property {(key: string, value: unknown) => void} setMetadata
 * @property {(change: () => void) => void} transact
 */

/**
 * @typedef {object} OutputsModel
 * @property {number} length
 * @property {(index: number) => { metadata: Record<string, unknown>, toJSON: () => Output }} get
 * @property {(index: number, output: Output) => void} set
 */

/**
 * @typedef {object} CellModel
 * @property {string} id
 * @property {string} type
 * @property {SharedCell} sharedModel
 * @property {OutputsModel} [outputs]
 * @property {number | null} [executionCount]
 * @property {boolean} [isDirty]  It has changed since it ran.
 */

/**
 * @typedef {object} SharedNotebook
 * @property {(index: number, cells: object[]) => void} insertCells
 */

/**
 * @typedef {object} NotebookModel
 * @property {{ length: number, get: (index: number) => CellModel }} cells
 * @property {SharedNotebook} sharedModel
 */

/** @typedef {{ sessionContext?: { session?: { kernel?: { clientId: string } | null } | null } }} Context */

/**
 * Return the notebook that a widget's view is in, or null where it is out of reach.
 *
 * @param {Pick<AnyModel, "get"> & { widget_manager: unknown, page?: CellsOnPage }} model
 * @param {HTMLElement} element  The view's.
 * @returns {Notebook | null}
 */
export function createNotebook(model, element) {
  const found = notebookModel(model.widget_manager);
  return found && new Notebook(found, element, String(model.get("panel_id")), model.page);
}

/**
 * @param {unknown} manager
 * @returns {NotebookModel | null}
 */
function notebookModel(manager) {
  const { context } = /** @type {{ context?: { model?: Partial<NotebookModel> } }} */ (
    manager ?? {}
  );
  const { cells, sharedModel } = context?.model ?? {};
  const isNotebook =
    typeof cells?.get === "function" && typeof sharedModel?.insertCells === "function";
  return isNotebook ? { cells, sharedModel } : null;
}

/**
 * Return what a page names itself in all that it sends to the kernel, in `session` of its headers.
 *
 * @param {unknown} manager
 * @returns {string | null}
 */
export function clientOf(manager) {
  const { context } = /** @type {{ context?: Context }} */ (manager ?? {});
  return context?.sessionContext?.session?.kernel?.clientId ?? null;
}

/** Cells are found by their ids, since their places change under the user's hands. */
export class Notebook {
  #model;
  #page;
  #panelId;

  /**
   * @param {NotebookModel} model
   * @param {HTMLElement} element
   * @param {string} panelId
   * @param {CellsOnPage} [page]
   */
  constructor(model, element, panelId, page) {
    this.#model = model;
    this.#panelId = panelId;
    const look = () =>
      new PageCells(
        element,
        () => this.#cells(),
        () => this.ownCell()?.id ?? null,
      );
    /** @type {CellsOnPage} */
    this.#page = page ?? look();
  }

  /**
   * Return the cell that the user is at, or was at before they came to the panel.
   *
   * @returns {Cell | null}
   */
  activeCell() {
    const id = this.#page.activeId();
    return id === null ? null : this.cell(id);
  }

  /**
   * Return the cell that shows the panel.
   *
   * @returns {Cell | null}
   */
  ownCell() {
    const index = this.#cells().findIndex((cell) => transcriptIndex(cell, this.#panelId) >= 0);
    return this.#describe(index >= 0 ? index : this.#page.ownPlace());
  }

  /**
   * @param {string} id
   * @returns {Cell | null}
   */
  cell(id) {
    return this.#describe(this.#cells().findIndex((cell) => cell.id === id));
  }

  /**
   * Return the cells that were made for another one and may be edited, in their order, with what
   * they say of that.
   *
   * @param {string} id
   * @param {string} key  Of the metadata that says so.
   * @returns {{ id: string, source: string, made: object }[]}
   */
  madeFor(id, key) {
    return this.#cells().flatMap(({ id: own, sharedModel: shared }) => {
      const made = /** @type {{ cell: unknown, id: unknown } | undefined} */ (
        shared.getMetadata(key)
      );
      const isMade = made?.cell === id && made.id === own;
      const isOurs = isMade && shared.getMetadata("editable") !== false;
      return isOurs ? [{ id: own, source: shared.getSource(), made }] : [];
    });
  }

  /**
   * Return the active cell's source, to go along with a prompt.
   *
   * @returns {Attachment | null}
   */
  attachCell() {
    const cell = this.#toldCell();
    if (!cell?.source.trim()) return null;
    return { label: this.#label(cell, "In"), text: shortened(cell.source) };
  }

  /** Whether a host tells what the user is at, as one beside the notebook does. */
  get isBeside() {
    return this.#page.selection() !== null;
  }

  /**
   * Return what the user is at and the chat is not told by itself: what is selected, and a cell of
   * code that has not run as it stands.
   *
   * @returns {Attachment[]}
   */
  atHand() {
    const [selected, cell] = [this.#page.selection(), this.#toldCell()];
    if (!this.isBeside || !cell?.source.trim()) return [];
    const model = this.#model.cells.get(cell.index);
    const label = this.#label(cell, "In");
    const hasRun = cell.type !== "code" || (model.executionCount && !model.isDirty);
    const found = hasRun ? [] : [{ label, text: shortened(cell.source) }];
    if (selected) found.push({ label: `Selection in ${label}`, text: shortened(selected) });
    return found;
  }

  /**
   * Return the active cell's output as text, to go along with a prompt.
   *
   * @returns {Attachment | null}
   */
  attachOutput() {
    const cell = this.#toldCell();
    if (!cell) return null;
    const text = outputsText(outputsOf(this.#model.cells.get(cell.index)));
    return text ? { label: this.#label(cell, "Out"), text: shortened(text) } : null;
  }

  /**
   * Insert new code cells, in their order: below a cell, else the active one, else the panel's.
   *
   * One undo takes all of them back.
   *
   * @param {NewCell[]} cells
   * @param {string} [anchorId]
   * @returns {Promise<void>}
   */
  async insertBelow(cells, anchorId) {
    const anchor =
      (anchorId === undefined ? null : this.cell(anchorId)) ?? this.activeCell() ?? this.ownCell();
    const index = anchor ? anchor.index + 1 : this.#model.cells.length;
    const made = cells.map(({ id, source, metadata = {} }) => ({
      id,
      cell_type: "code",
      source,
      metadata,
      outputs: [],
      execution_count: null,
    }));
    this.#model.sharedModel.insertCells(index, made);
  }

  /**
   * Put other code into a cell. One undo in the cell takes it back.
   *
   * @param {string} id
   * @param {string} source
   * @param {Record<string, unknown>} [metadata]  Set beside what the cell has.
   * @returns {boolean}  False if there is no such cell, or it is not to be edited.
   */
  replace(id, source, metadata = {}) {
    const shared = this.#cells().find((cell) => cell.id === id)?.sharedModel;
    if (!shared || shared.getMetadata("editable") === false) return false;
    // The cell's own: what the notebook has changed, no undo in the cell takes back.
    shared.transact(() => {
      shared.setSource(source);
      setMetadata(shared, metadata);
    });
    return true;
  }

  /**
   * Put a transcript in the place of the one that is saved below the panel, if there is one.
   *
   * The other outputs of the cell, and so the panel itself, stay as they are.
   *
   * @param {string} panelId
   * @param {Transcript} transcript
   */
  writeTranscript(panelId, { data, metadata }) {
    this.#page.leaveHiddenMath();
    for (const cell of this.#cells()) {
      const index = transcriptIndex(cell, panelId);
      if (index < 0) continue;
      const old = cell.outputs?.get(index).toJSON();
      const output = { ...old, output_type: "display_data", data, metadata };
      if (JSON.stringify(output) !== JSON.stringify(old)) cell.outputs?.set(index, output);
    }
  }

  /**
   * Call a function whenever another cell becomes the active one.
   *
   * @param {() => void} listener
   * @returns {() => void}  Ends it.
   */
  onActiveCellChanged(listener) {
    return this.#page.onActiveChanged(listener);
  }

  /** Stop looking at the page. */
  dispose() {
    this.#page.dispose();
  }

  /**
   * @returns {CellModel[]}
   */
  #cells() {
    const { cells } = this.#model;
    return Array.from({ length: cells.length }, (_, index) => cells.get(index));
  }

  /**
   * Return the active cell, if anything may be told of it.
   *
   * @returns {Cell | null}
   */
  #toldCell() {
    const cell = this.activeCell();
    return cell && !isOff(this.#model.cells.get(cell.index).sharedModel) ? cell : null;
  }

  /**
   * @param {number} index
   * @returns {Cell | null}
   */
  #describe(index) {
    if (index < 0) return null;
    const { id, type, sharedModel } = this.#model.cells.get(index);
    return { id, index, type, source: sharedModel.getSource() };
  }

  /**
   * Return what people call a cell: its number if it ran, else its place.
   *
   * @param {Cell} cell
   * @param {"In" | "Out"} side
   * @returns {string}
   */
  #label({ index }, side) {
    const count = this.#model.cells.get(index).executionCount;
    if (count) return `${side} [${count}]`;
    return side === "In" ? `Cell ${index + 1}` : `Output of cell ${index + 1}`;
  }
}

/**
 * @param {CellModel} cell
 * @returns {Output[]}
 */
function outputsOf({ outputs }) {
  if (!outputs) return [];
  return Array.from({ length: outputs.length }, (_, index) => outputs.get(index).toJSON());
}

/**
 * Return the place of a panel's transcript among the outputs of a cell, or -1.
 *
 * @param {CellModel} cell
 * @param {string} panelId
 * @returns {number}
 */
function transcriptIndex({ outputs }, panelId) {
  for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
    if (outputs?.get(index).metadata.jupyter_llm_transcript === panelId) return index;
  }
  return -1;
}
