/** A button at each error that a notebook shows, above its traceback, which has it fixed. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { type PanelLayout, Widget } from "@lumino/widgets";
import { makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { keepAtCells } from "../page/at_cells.js";
import type { Output } from "../page/outputs.js";
import { errorOf, suits } from "./cells.js";

/** Keep such a button in each cell that failed; it hides itself while there is no connection. */
export function addFixButtons(panel: NotebookPanel, fix: (cell: Cell) => void): void {
  const buttons = new WeakMap<Cell, Widget>();
  keepAtCells(panel, (cell) => {
    const button = buttons.get(cell);
    const error = errorOf(cell);
    if (!error || !isMistake(error) || !suits("fix", cell, panel)) {
      button?.dispose();
      buttons.delete(cell);
    } else if (!button) {
      const made = new Widget();
      made.addClass("jllm-fix");
      made.node.append(makeButton(trans.__("Fix with the model"), () => fix(cell)));
      const layout = cell.layout as PanelLayout;
      const outputs = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-outputWrapper"));
      layout.insertWidget(outputs, made); // seen however long the traceback is
      buttons.set(cell, made);
    }
  });
}

/** Whether code is wrong: an interrupt was wanted, and jupyter_llm's own errors are one line. */
function isMistake({ ename, evalue, traceback = [] }: Output): boolean {
  return ename !== "KeyboardInterrupt" && traceback.join("\n") !== `${ename}: ${evalue}`;
}
