/** The facts of a cell that an action needs. */

import type { Cell, ICodeCellModel } from "@jupyterlab/cells";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { Action, CellKind } from "../connection/messages.js";
import { codePoints } from "../dom/characters.js";
import { isOff, refusalOf } from "../page/document.js";
import { type Output, outputsOf, outputsText } from "../page/outputs.js";
import type { Target } from "./task.js";

/** These change nothing, so that they are there for cells that are read-only, too. */
const ONLY_READS = new Set<Action>(["explain", "review"]);
/** These make sense for cells of Markdown, or say why they do not. */
const OF_TEXT = new Set<Action>(["edit", "review", "continue", "split"]);

/** Whether an action makes sense for a cell. */
export function suits(action: Action, { model }: Cell, panel: NotebookPanel): boolean {
  const { type, sharedModel } = model;
  if (type !== "code" && !(type === "markdown" && OF_TEXT.has(action))) return false;
  if (isOff(sharedModel)) return false;
  const isEmpty = sharedModel.getSource().trim() === "";
  if (isEmpty && action !== "edit" && action !== "split") return false;
  return ONLY_READS.has(action) || refusalOf(panel.context.model, sharedModel) === null;
}

/** The error that a cell's outputs show. */
export function errorOf(cell: Cell): Output | null {
  return (
    outputsOf(cell.model as Partial<ICodeCellModel>).find(
      ({ output_type }) => output_type === "error",
    ) ?? null
  );
}

/** The cell as it is now. */
export function targetOf(cell: Cell): Target {
  const source = cell.model.sharedModel.getSource();
  const { from = 0, to = 0 } = editorOf(cell)?.state.selection.main ?? {};
  const [{ id, type }, error] = [cell.model, errorOf(cell)];
  return {
    cell: { id, source, error: error && outputsText([error]), kind: type as CellKind },
    selection: from < to ? [codePoints(source, from), codePoints(source, to)] : null,
  };
}

/** CodeMirror's view of a cell; there is none while the cell is out of sight. */
export function editorOf(cell: Cell) {
  return (cell.editor as CodeMirrorEditor | null)?.editor ?? null;
}
