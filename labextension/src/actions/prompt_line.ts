/** The line below the last cell of a notebook that asks the model for another cell. */

import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import type { Widget } from "@lumino/widgets";
import { make } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { refusalOf } from "../page/document.js";
import { suits } from "./cells.js";

/**
 * Add the line to a notebook; `ask` opens the prompt at the active cell, which is empty. The style
 * sheet hides the line while there is no connection.
 */
export async function addPromptLine(panel: NotebookPanel, ask: () => void): Promise<void> {
  await panel.revealed;
  const { content } = panel;
  const { footer } = content.layout as { footer?: Widget | null }; // Notebook 7 may have none
  const begin = () => {
    if (refusalOf(panel.context.model)) return;
    content.activeCellIndex = content.widgets.length - 1;
    const { activeCell: last } = content;
    const isEmpty = last?.model.type === "code" && !last.model.sharedModel.source;
    if (!isEmpty || !suits("edit", last, panel)) NotebookActions.insertBelow(content);
    requestAnimationFrame(ask); // the notebook takes the focus first
  };
  // The notebook takes the focus from lines below its cells, so Tab skips them, as JupyterLab's own.
  const className = "jp-Notebook-footer jllm-prompt-line";
  const properties = { className, onclick: begin, tabIndex: -1 };
  footer?.node.after(make("button", properties, trans.__("Ask the model for a cell")));
}
