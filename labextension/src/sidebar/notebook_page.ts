/** Where the user is in a notebook, for the front end of a chat that stands beside it. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import { Signal } from "@lumino/signaling";
import type { CellsOnPage } from "../page/cells.js";

/** One notebook, whichever tab is in front. */
export class NotebookPage implements CellsOnPage {
  readonly #content: NotebookPanel["content"];
  readonly #listeners = new Set<() => void>();

  constructor({ content }: NotebookPanel) {
    this.#content = content;
    this.#follow();
  }

  activeId(): string | null {
    return this.#content.activeCell?.model.id ?? null;
  }

  selection(): string {
    // A cell that is out of sight may have no editor.
    const editor = this.#content.activeCell?.editor;
    if (!editor) return "";
    const { start, end } = editor.getSelection();
    const [one, other] = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
    const source = editor.model.sharedModel.getSource();
    return source.slice(Math.min(one, other), Math.max(one, other)).trim();
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
    Signal.disconnectReceiver(this);
  }

  #follow(): void {
    Signal.disconnectReceiver(this); // the cell that the user was at
    const { activeCell, activeCellChanged } = this.#content;
    activeCellChanged.connect(this.#follow, this);
    const { selections, contentChanged, stateChanged } = activeCell?.model ?? {};
    for (const changed of [selections?.changed, contentChanged, stateChanged]) {
      changed?.connect(this.#tell, this);
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
