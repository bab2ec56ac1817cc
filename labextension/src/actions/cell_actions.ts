/** The actions on the cells of one notebook: at most one for each cell. */

import type { Cell } from "@jupyterlab/cells";
import type { Action, Change } from "../connection/messages.js";
import { trans } from "../dom/words.js";
import { followCells } from "../page/at_cells.js";
import { checkLanded } from "../page/document.js";
import { suits } from "./cells.js";
import { type Tools, View } from "./view.js";

/** The actions under way or not yet put away. */
export class CellActions {
  readonly #tools: Tools;
  readonly #views = new Set<View>();
  #isPlacing = false;

  constructor(tools: Tools) {
    this.#tools = tools;
    followCells(tools.panel.content, () => this.#placeSoon());
    tools.panel.disposed.connect(() => {
      for (const view of [...this.#views]) view.end();
    });
  }

  /** Whether the model can be asked. */
  get isOpen(): boolean {
    return this.#tools.connection.state === "open";
  }

  /** The cell that a person is at. */
  get cell(): Cell | null {
    return this.#tools.panel.content.activeCell;
  }

  /** The action on that cell, if there is one. */
  get view(): View | null {
    return this.#of(this.cell);
  }

  canDo(action: Action, cell = this.cell): boolean {
    return this.isOpen && cell !== null && suits(action, cell, this.#tools.panel);
  }

  /**
   * Do something with a cell, in the place of what was done with it before, unless that left a
   * proposal or words that were not sent.
   */
  begin(action: Action, cell = this.cell): void {
    if (!cell || !this.canDo(action, cell)) return;
    const old = this.#of(cell);
    if (old?.isUndecided) old.remind();
    else {
      old?.end();
      new View(this.#tools, this.#views, action, cell).begin();
    }
  }

  /** Show a change that a chat proposes for a cell, where a person can decide about it. */
  async propose(change: Change): Promise<void> {
    const { content } = this.#tools.panel;
    const index = content.widgets.findIndex(({ model }) => model.id === change.cell);
    const cell = content.widgets[index];
    if (!cell) return checkLanded("gone");
    content.activeCellIndex = index;
    await content.scrollToItem(index);
    const old = this.#of(cell);
    if (old?.isUndecided) {
      old.remind();
      throw new Error(trans.__("Decide first about what is open at that cell."));
    }
    old?.end();
    new View(this.#tools, this.#views, null, cell).begin(change);
  }

  #of(cell: Cell | null): View | null {
    return [...this.#views].find(({ id }) => id === cell?.model.id) ?? null;
  }

  /**
   * Cells that are moved go and come again, and an editor that tells of a change takes no marks until
   * it is done with it: look once all is in its place.
   */
  #placeSoon(): void {
    if (this.#isPlacing || this.#views.size === 0) return;
    this.#isPlacing = true;
    setTimeout(() => {
      this.#isPlacing = false;
      for (const view of [...this.#views]) view.place();
    });
  }
}
