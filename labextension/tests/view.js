/** A view of a notebook as ghost text knows it: a real document, and editors that draw nothing. */

import { YNotebook } from "@jupyter/ydoc";
import { Signal } from "@lumino/signaling";

/** @import { YCodeCell } from "@jupyter/ydoc" */

/** A cell with its editor; the cursor is where the last text was written. */
export class Cell {
  isDisposed = false;
  readOnly = false;
  ready = Promise.resolve();
  disposed = new Signal(this);

  /** @param {YCodeCell} shared */
  constructor(shared) {
    const contentChanged = new Signal(/** @type {any} */ ({}));
    shared.changed.connect(() => contentChanged.emit(null));
    this.model = { id: shared.id, type: shared.cell_type, sharedModel: shared, contentChanged };
    this.editor = new Editor(shared);
  }
}

class Editor {
  isDisposed = false;
  isFocused = true;

  /** @param {YCodeCell} shared */
  constructor(shared) {
    this.cursor = shared.getSource().length;
    const changed = new Signal(/** @type {any} */ ({}));
    this.model = { sharedModel: shared, selections: { changed } };
  }

  hasFocus = () => this.isFocused;
  getCursorPosition = () => this.cursor;
  getOffsetAt = (/** @type {number} */ position) => position;

  /** Put the cursor somewhere. */
  move(/** @type {number} */ cursor) {
    this.cursor = cursor;
    this.model.selections.changed.emit(null);
  }

  /** Write at the cursor, or before it take so many characters away. */
  type(/** @type {string} */ text, numRemoved = 0) {
    const start = this.cursor - numRemoved;
    const end = this.cursor;
    this.cursor = start + text.length;
    this.model.sharedModel.updateSource(start, end, text);
    this.model.selections.changed.emit(null);
  }
}

/** Shows cells of one source each; `tags` are those of the cell with that number. */
export class View {
  isDisposed = false;
  disposed = new Signal(this);
  /** @type {any} */
  content = {};
  /** @type {Cell[]} */
  cells;

  /**
   * @param {string[]} sources
   * @param {Record<number, string[]>} [tags]
   */
  constructor(sources, tags = {}) {
    const document = YNotebook.create();
    sources.forEach((source, number) => {
      const metadata = { tags: tags[number] ?? [] };
      document.addCell({ cell_type: "code", source, metadata, id: `c${number}` });
    });
    this.cells = document.cells.map((cell) => new Cell(/** @type {YCodeCell} */ (cell)));
    const { content } = this;
    const cells = this.cells.map(({ model }) => model);
    content.model = { cells: Object.assign(cells, { changed: new Signal(content) }) };
    content.activeCellChanged = new Signal(content);
    content.modelChanged = new Signal(content);
    content.disposed = new Signal(content);
    content.activeCell = this.cells[0] ?? null;
    content.widgets = this.cells;
  }

  /** Come to a cell. */
  enter(/** @type {number} */ number) {
    this.content.activeCell = this.cells[number];
    this.content.activeCellChanged.emit(this.content.activeCell);
  }

  /** Take a cell out. */
  remove(/** @type {number} */ number) {
    const [cell] = this.cells.splice(number, 1);
    this.content.model.cells.splice(number, 1);
    if (cell) cell.isDisposed = true;
    cell?.disposed.emit(undefined);
  }

  close() {
    this.isDisposed = true;
    this.disposed.emit(undefined);
    this.content.disposed.emit(undefined);
    for (const cell of this.cells) cell.disposed.emit(undefined);
  }
}
