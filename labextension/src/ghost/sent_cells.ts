/** The cells of a document as the kernel was told them, and the edits that bring it up to date. */

import type { ICellModel } from "@jupyterlab/cells";
import type { Arguments, CellKind, DocumentCell } from "../connection/messages.js";
import { isOff } from "../page/document.js";

/** Cells as they stand now; of one that is off nothing is told. */
export function documentCells(cells: Iterable<ICellModel>): DocumentCell[] {
  return Array.from(cells, (cell) => {
    const is_off = isOff(cell.sharedModel);
    const source = is_off ? "" : cell.sharedModel.getSource();
    return { cell_id: cell.id, kind: cell.type as CellKind, source, is_off };
  });
}

export class SentCells {
  #cells: readonly DocumentCell[] = [];
  #revision = 0;

  /** The number of edits that were sent. After `forget` the first one sends all cells. */
  get revision(): number {
    return this.#revision;
  }

  /** Begin anew: the kernel is another one, or has missed something. */
  forget(): void {
    this.#cells = [];
    this.#revision = 0;
  }

  /**
   * The one edit that makes these the cells that the kernel knows, or null where they are.
   *
   * The source of the cell `written` may be an older one, since who asks for a completion sends it.
   */
  edit(now: readonly DocumentCell[], written: string | null = null): Arguments<"cells"> | null {
    const before = this.#cells;
    const isSame = (one: DocumentCell | undefined, other: DocumentCell | undefined) =>
      one !== undefined &&
      other !== undefined &&
      one.cell_id === other.cell_id &&
      one.kind === other.kind &&
      one.is_off === other.is_off &&
      (one.source === other.source || one.cell_id === written);
    let at = 0;
    while (isSame(before[at], now[at])) at += 1;
    let same = 0;
    const most = Math.min(before.length, now.length) - at;
    while (same < most && isSame(before.at(-1 - same), now.at(-1 - same))) same += 1;
    const insert = now.slice(at, now.length - same);
    const remove = before.length - same - at;
    if (insert.length === 0 && remove === 0 && this.#revision > 0) return null;
    this.#cells = before.toSpliced(at, remove, ...insert);
    this.#revision += 1;
    return { revision: this.#revision, at, remove, insert };
  }
}
