/** Buttons above the outputs of cells: one has an error fixed, one opens a menu about the output. */

import type { Cell, ICodeCellModel } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { type MenuSvg, offlineBoltIcon } from "@jupyterlab/ui-components";
import { type PanelLayout, Widget } from "@lumino/widgets";
import { makeButton, menuButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { keepAtCells } from "../page/at_cells.js";
import { type Output, outputsOf } from "../page/outputs.js";
import { errorOf, suits } from "./cells.js";

type Kind = "error" | "result";

/**
 * Keep buttons in each cell that failed or shows a result; `menu` is filled when it is opened. The
 * style sheet hides the buttons while there is no connection.
 */
export function addOutputButtons(
  panel: NotebookPanel,
  menu: MenuSvg,
  fix: (cell: Cell) => void,
): void {
  const rows = new WeakMap<Cell, { kind: Kind; row: Widget }>();
  keepAtCells(panel, (cell) => {
    const [old, kind] = [rows.get(cell), kindOf(cell, panel)];
    if (old?.kind === kind) return;
    old?.row.dispose();
    rows.delete(cell);
    if (!kind) return;
    const row = new Widget();
    row.addClass("jllm-output");
    row.addClass(`jllm-mod-${kind}`);
    const [isError, className] = [kind === "error", "jllm-fix"];
    const button = makeButton(trans.__("Fix with the model"), () => fix(cell), { className });
    const name = trans.__("Ask the model about this output");
    const more = menuButton(offlineBoltIcon, name, menu, () => {
      const { content } = panel;
      content.activeCellIndex = content.widgets.indexOf(cell);
      menu.clearItems();
      for (const action of isError ? ["explain", "fix", "ask"] : ["explain", "ask", "next"]) {
        menu.addItem({ command: `jupyter-llm:${action}`, args: { isShort: true } });
      }
    });
    row.node.append(...(isError ? [button, more] : [more]));
    const layout = cell.layout as PanelLayout;
    const outputs = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-outputWrapper"));
    layout.insertWidget(outputs, row); // seen however long the output is
    rows.set(cell, { kind, row });
  });
}

function kindOf(cell: Cell, panel: NotebookPanel): Kind | undefined {
  const error = errorOf(cell);
  if (error) return isMistake(error) && suits("fix", cell, panel) ? "error" : undefined;
  return outputsOf(cell.model as Partial<ICodeCellModel>).some(isResult) &&
    suits("explain", cell, panel)
    ? "result"
    : undefined;
}

/** Whether code is wrong: an interrupt was wanted, and jupyter_llm's own errors are one line. */
function isMistake({ ename, evalue, traceback = [] }: Output): boolean {
  return ename !== "KeyboardInterrupt" && traceback.join("\n") !== `${ename}: ${evalue}`;
}

/** Whether the user's code made an output: neither a widget nor an answer of ours. */
function isResult({ data = {}, metadata = {} }: Output): boolean {
  const isWidget = "application/vnd.jupyter.widget-view+json" in data;
  return !isWidget && !Object.keys(metadata).some((key) => key.startsWith("jupyter_llm"));
}
