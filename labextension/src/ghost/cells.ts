/** The cells of a notebook as ghost text has to know them. */

import type { ISharedCell } from "@jupyter/ydoc";
import type { ICellModel } from "@jupyterlab/cells";
import type { JSONObject } from "@lumino/coreutils";
import type { CellKind, DocumentCell } from "../connection/messages.js";
import { COMPLETED, piecesOf, written } from "../dom/pieces.js";
import { isOff } from "../page/off_cells.js";

/** All cells as they stand now; of one that is off nothing is told. */
export function documentCells(cells: Iterable<ICellModel>): DocumentCell[] {
  return Array.from(cells, (cell) => {
    const is_off = isOff(cell.sharedModel);
    const source = is_off ? "" : cell.sharedModel.getSource();
    return { id: cell.id, kind: cell.type as CellKind, source, is_off };
  });
}

/** Note in a cell's metadata the lines that a model had a part in, and that were not there before; no step for undo. */
export function noteAccepted(
  sharedModel: ISharedCell,
  model: string,
  lines: string,
  before: string,
): void {
  const known = written(sharedModel.getMetadata(COMPLETED));
  const own = known.find((one) => one?.model === model);
  const pieces = piecesOf(lines, before, sharedModel.getSource(), own?.pieces);
  if (!pieces) return;
  const others = known.filter((one) => one && one.model !== model) as JSONObject[];
  const all = [{ model, time: new Date().toISOString(), pieces }, ...others];
  sharedModel.transact(() => sharedModel.setMetadata(COMPLETED, all), false);
}
