/** The extension's service for a chat: the user's place in a notebook, and proposals in cells. */

import type { Cell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { Signal } from "@lumino/signaling";
import type { Change, NotebookView } from "./cells.js";

/** One notebook, whichever tab is in front, for a chat in one of its cells or beside it. */
export class NotebookPage implements NotebookView {
  readonly propose: (change: Change) => Promise<void>;
  readonly #panel: NotebookPanel;
  readonly #element: HTMLElement;
  readonly #listeners = new Set<() => void>();
  #active: Cell | null = null;
  #before: Cell | null = null;

  /** `element` is the chat's, which need not be on the page yet. */
  constructor(
    panel: NotebookPanel,
    element: HTMLElement,
    propose: (change: Change) => Promise<void>,
  ) {
    this.#panel = panel;
    this.#element = element;
    this.propose = propose;
    this.#follow();
  }

  activeId(): string | null {
    return this.#cell?.model.id ?? null;
  }

  selection(): string | null {
    if (this.#panel.node.contains(this.#element)) return null;
    // A cell that is out of sight may have no editor.
    const editor = this.#cell?.editor;
    if (!editor) return "";
    const { start, end } = editor.getSelection();
    const [one, other] = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
    const source = editor.model.sharedModel.getSource();
    return source.slice(Math.min(one, other), Math.max(one, other)).trim();
  }

  ownId(): string | null {
    const own = this.#panel.content.widgets.find((cell) => this.#isOwn(cell));
    return own?.model.id ?? null;
  }

  onActiveChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  dispose(): void {
    Signal.disconnectReceiver(this);
  }

  /** A click into a chat makes its cell the active one: users mean the cell that they were at before. */
  get #cell(): Cell | null {
    const cell = this.#active && this.#isOwn(this.#active) ? this.#before : this.#active;
    return cell?.isDisposed ? null : cell;
  }

  #isOwn({ node }: Cell): boolean {
    return node.contains(this.#element);
  }

  #follow(): void {
    Signal.disconnectReceiver(this); // the cell that the user was at
    const { activeCell, activeCellChanged } = this.#panel.content;
    activeCellChanged.connect(this.#follow, this);
    if (activeCell !== this.#active) {
      [this.#active, this.#before] = [activeCell, this.#active];
    }
    const { selections, contentChanged, stateChanged } = activeCell?.model ?? {};
    for (const changed of [selections?.changed, contentChanged, stateChanged]) {
      changed?.connect(this.#notify, this);
    }
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
