/** Where the user is in a notebook, for the front end of a chat that stands beside it. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { CellsOnPage } from "../page/cells.js";

/** One notebook, whichever tab is in front. */
export class NotebookPage implements CellsOnPage {
  readonly #panel: NotebookPanel;
  readonly #listeners = new Set<() => void>();
  #cell: Cell | null = null;

  constructor(panel: NotebookPanel) {
    this.#panel = panel;
    panel.content.activeCellChanged.connect(this.#follow);
    this.#follow();
  }

  activeId(): string | null {
    return this.#panel.content.activeCell?.model.id ?? null;
  }

  selection(): string {
    // A cell that is out of sight may have no editor.
    const editor = this.#panel.content.activeCell?.editor;
    if (!editor) return "";
    const { start, end } = editor.getSelection();
    const [one, other] = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
    return editor.model.sharedModel
      .getSource()
      .slice(Math.min(one, other), Math.max(one, other))
      .trim();
  }

  /** It stands in no cell. */
  ownPlace(): number {
    return -1;
  }

  onActiveChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  leaveHiddenMath(): void {}

  dispose(): void {
    this.#listeners.clear();
    this.#leave();
    this.#panel.content.activeCellChanged.disconnect(this.#follow);
  }

  #leave(): void {
    const model = this.#cell?.model;
    model?.selections.changed.disconnect(this.#tell);
    model?.contentChanged.disconnect(this.#tell);
    model?.stateChanged.disconnect(this.#tell);
  }

  readonly #follow = (): void => {
    this.#leave();
    this.#cell = this.#panel.content.activeCell;
    const model = this.#cell?.model;
    model?.selections.changed.connect(this.#tell);
    model?.contentChanged.connect(this.#tell);
    model?.stateChanged.connect(this.#tell);
    this.#tell();
  };

  readonly #tell = (): void => {
    for (const listener of [...this.#listeners]) listener();
  };
}
