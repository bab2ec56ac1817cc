/** The cells of a notebook as ghost text has to know them. */

import type { ICellModel } from "@jupyterlab/cells";
import type { INotebookModel } from "@jupyterlab/notebook";
import type { CellKind, DocumentCell } from "../connection/messages.js";
import { COMPLETED, completedLines, merged } from "../dom/pieces.js";
import { isOff } from "../page/off_cells.js";

/** All cells as they stand now; of one that is off nothing is told. */
export function documentCells(model: INotebookModel): DocumentCell[] {
  return Array.from(model.cells, (cell) => {
    const is_off = isOff(cell.sharedModel);
    const source = is_off ? "" : cell.sharedModel.getSource();
    return { id: cell.id, kind: cell.type as CellKind, source, is_off };
  });
}

/** Note in a cell's metadata, in one line for each model, what was accepted; no step for undo. */
export function noteAccepted(cell: ICellModel, model: string, pieces: string[]): void {
  const { sharedModel } = cell;
  if (pieces.length === 0) return;
  const lines = completedLines(sharedModel.getMetadata(COMPLETED));
  const [, ...old] = lines[model]?.split(" ") ?? [];
  const day = new Date().toISOString().slice(0, 10);
  const line = [day, ...merged(old, pieces, sharedModel.getSource())].join(" ");
  sharedModel.transact(
    () => sharedModel.setMetadata(COMPLETED, { ...lines, [model]: line }),
    false,
  );
}
