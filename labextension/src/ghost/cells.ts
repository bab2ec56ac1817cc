/** The cells of a notebook as ghost text has to know them. */

import type { ICellModel } from "@jupyterlab/cells";
import type { INotebookModel } from "@jupyterlab/notebook";
import type { CellKind, DocumentCell, Metadata } from "../connection/messages.js";
import { isOff } from "../page/off_cells.js";

/** Of what was accepted in a cell, so many records are kept, the latest first. */
const MAX_RECORDS = 20;
const KEY = "jupyter_llm";

/** All cells as they stand now; of one that is off nothing is told. */
export function documentCells(model: INotebookModel): DocumentCell[] {
  return Array.from(model.cells, (cell) => {
    const is_off = isOff(cell.sharedModel);
    const source = is_off ? "" : cell.sharedModel.getSource();
    return { id: cell.id, kind: cell.type as CellKind, source, is_off };
  });
}

/** Put the records of what was accepted into a cell's metadata; no step for undo. */
export function addRecords(cell: ICellModel, metadata: Metadata): void {
  const { sharedModel } = cell;
  const records = merged(sharedModel.getMetadata(KEY), metadata[KEY]);
  if (records === null) return;
  sharedModel.transact(() => sharedModel.setMetadata(KEY, records as never), false);
}

/**
 * The records of a cell with a new one in front; null where there is no new one.
 *
 * A completion that is taken word by word has one record, of how the cell looked at the end.
 */
export function merged(before: unknown, record: unknown): unknown {
  if (record === undefined) return null;
  const records = before === undefined ? [] : Array.isArray(before) ? before : [before];
  const others = records.filter((other) => !isOfSameText(other, record));
  return others.length === 0 ? record : [record, ...others].slice(0, MAX_RECORDS);
}

function isOfSameText(one: unknown, other: unknown): boolean {
  const [first, second] = [one, other] as (Metadata | null)[];
  return ["kind", "prompt_sha256", "text_sha256"].every((name) => first?.[name] === second?.[name]);
}
