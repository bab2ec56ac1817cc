/** A button at each error that a notebook shows, above its traceback, which has it fixed. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IOutputModel } from "@jupyterlab/rendermime";
import type { TranslationBundle } from "@jupyterlab/translation";
import { type PanelLayout, Widget } from "@lumino/widgets";
import { make } from "../dom/elements.js";
import { isOff } from "../page/off_cells.js";
import { errorOf, isEditable } from "./cell_actions.js";

/** Keep such a button in each cell that failed; it hides itself while there is no connection. */
export function addFixButtons(
  panel: NotebookPanel,
  trans: TranslationBundle,
  fix: (cell: Cell) => void,
): void {
  const buttons = new WeakMap<Cell, Widget>();
  const awaited = new WeakSet<Cell>();
  const mistakes = new WeakMap<IOutputModel, boolean>(); // every key in the notebook asks
  let isPlacing = false;

  /** Whoever interrupts a cell has nothing that needs a fix. */
  const isMistake = (error: IOutputModel): boolean => {
    const known = mistakes.get(error) ?? error.toJSON().ename !== "KeyboardInterrupt";
    mistakes.set(error, known);
    return known;
  };
  const place = (cell: Cell) => {
    const button = buttons.get(cell);
    const error = errorOf(cell);
    const canChange = isEditable(panel, cell) && !isOff(cell.model.sharedModel);
    const isWanted = error !== null && isMistake(error) && canChange;
    if (!isWanted) button?.dispose();
    if (!isWanted) buttons.delete(cell);
    else if (!button && !cell.isPlaceholder()) {
      const made = new FixButton(trans, () => fix(cell));
      const layout = cell.layout as PanelLayout;
      const outputs = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-outputWrapper"));
      layout.insertWidget(outputs, made); // seen however long the traceback is
      buttons.set(cell, made);
    } else if (!button && !awaited.has(cell)) {
      awaited.add(cell);
      void cell.ready.then(placeSoon);
    }
  };
  const placeSoon = () => {
    if (isPlacing) return;
    isPlacing = true;
    requestAnimationFrame(() => {
      isPlacing = false;
      if (!panel.isDisposed) panel.content.widgets.forEach(place);
    });
  };
  panel.content.modelContentChanged.connect(placeSoon);
  void panel.revealed.then(placeSoon);
}

class FixButton extends Widget {
  constructor(trans: TranslationBundle, onClick: () => void) {
    super();
    this.addClass("jllm-fix");
    const button = make("button", "jllm-action-button", trans.__("Fix with the model"));
    button.type = "button";
    button.addEventListener("click", onClick);
    this.node.append(button);
  }
}
