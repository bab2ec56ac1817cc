/** A button at each error that a notebook shows, above its traceback, which has it fixed. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IOutputModel } from "@jupyterlab/rendermime";
import type { TranslationBundle } from "@jupyterlab/translation";
import { type PanelLayout, Widget } from "@lumino/widgets";
import { keepAtCells } from "../page/at_cells.js";
import { isOff } from "../page/off_cells.js";
import { actionButton } from "./button.js";
import { errorOf, isEditable } from "./cell_actions.js";

/** Keep such a button in each cell that failed; it hides itself while there is no connection. */
export function addFixButtons(
  panel: NotebookPanel,
  trans: TranslationBundle,
  fix: (cell: Cell) => void,
): void {
  const buttons = new WeakMap<Cell, Widget>();
  keepAtCells(panel, (cell) => {
    const button = buttons.get(cell);
    const canChange = isEditable(panel, cell) && !isOff(cell.model.sharedModel);
    const isWanted = canChange && isMistake(errorOf(cell));
    if (!isWanted) {
      button?.dispose();
      buttons.delete(cell);
    } else if (!button) {
      const made = new FixButton(trans, () => fix(cell));
      const layout = cell.layout as PanelLayout;
      const outputs = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-outputWrapper"));
      layout.insertWidget(outputs, made); // seen however long the traceback is
      buttons.set(cell, made);
    }
  });
}

/** Whoever interrupts a cell has nothing that needs a fix. */
function isMistake(error: IOutputModel | null): boolean {
  return error !== null && error.toJSON().ename !== "KeyboardInterrupt";
}

class FixButton extends Widget {
  constructor(trans: TranslationBundle, onClick: () => void) {
    super();
    this.addClass("jllm-fix");
    this.node.append(actionButton(trans.__("Fix with the model"), onClick));
  }
}
