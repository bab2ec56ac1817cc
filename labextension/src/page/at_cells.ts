/** Things beside the cells of a notebook, kept up to date as each cell changes. */

import type { Cell } from "@jupyterlab/cells";
import type { Notebook, NotebookPanel } from "@jupyterlab/notebook";

/**
 * Call `changed` with each cell that there is, when it is drawn, whenever it changes, when it goes.
 *
 * A key in one cell is heard of that cell alone, however many there are.
 */
export function followCells(content: Notebook, changed: (cell: Cell) => void): void {
  const followed = new WeakSet<Cell>();
  const follow = () => {
    for (const cell of content.widgets) {
      if (followed.has(cell)) continue;
      followed.add(cell);
      const { model } = cell; // which may outlive this view of it
      const notify = () => changed(cell);
      model.contentChanged.connect(notify); // of its outputs and tags, too
      cell.disposed.connect(() => {
        model.contentChanged.disconnect(notify);
        notify();
      });
      notify();
      void cell.ready.then(notify);
    }
  };
  const begin = () => {
    const cells = content.model?.cells;
    cells?.changed.connect(follow);
    content.disposed.connect(() => cells?.changed.disconnect(follow));
    follow();
  };
  content.modelChanged.connect(begin);
  begin();
}

/** Keep something at each cell: `place` is called, once a frame, with those that are drawn and changed. */
export function keepAtCells(panel: NotebookPanel, place: (cell: Cell) => void): void {
  const due = new Set<Cell>();
  const placeAll = () => {
    const cells = [...due];
    due.clear();
    for (const cell of cells) {
      if (!cell.isDisposed && !cell.model.isDisposed && !cell.isPlaceholder()) place(cell);
    }
  };
  void panel.revealed.then(() =>
    followCells(panel.content, (cell) => {
      if (due.size === 0) requestAnimationFrame(placeAll);
      due.add(cell);
    }),
  );
}
