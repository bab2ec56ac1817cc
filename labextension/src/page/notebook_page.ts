/** The extension's service for a chat: the user's place in a notebook, and proposals in cells. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { Cell } from "@jupyterlab/cells";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { Signal } from "@lumino/signaling";
import { trans } from "../dom/words.js";
import type { NotebookView } from "./cells.js";

/** The command of plugin `jupyter-llm:actions` that shows a chat's change in a cell. */
export const PROPOSE = "jupyter-llm:propose";

/** One notebook, whichever tab is in front, for a chat in one of its cells or beside it. */
export class NotebookPage implements NotebookView {
  readonly #tracker: INotebookTracker;
  readonly #commands: JupyterFrontEnd["commands"];
  readonly #context: object;
  readonly #element: HTMLElement;
  readonly #listeners = new Set<() => void>();
  /** The view that the user is in, or was in last. */
  #panel: NotebookPanel | null = null;
  #active: Cell | null = null;
  #before: Cell | null = null;

  /** `element` is the chat's, which need not be on the page yet. */
  constructor(
    tracker: INotebookTracker,
    commands: JupyterFrontEnd["commands"],
    context: object,
    element: HTMLElement,
  ) {
    this.#tracker = tracker;
    this.#commands = commands;
    this.#context = context;
    this.#element = element;
    this.#follow();
  }

  async propose(change: object): Promise<void> {
    if (!this.#commands.hasCommand(PROPOSE)) {
      const plugin = "jupyter-llm:actions";
      throw new Error(trans.__("Plugin %1 is off. Enable it, or insert the code below.", plugin));
    }
    const panel = this.#panel?.id ?? "";
    await this.#commands.execute(PROPOSE, { panel, change: { ...change } });
  }

  activeId(): string | null {
    return this.#cell?.model.id ?? null;
  }

  selection(): string | null {
    if (this.ownId() !== null) return null;
    // A cell that is out of sight may have no editor.
    const editor = this.#cell?.editor;
    if (!editor) return "";
    const { start, end } = editor.getSelection();
    const [one, other] = [editor.getOffsetAt(start), editor.getOffsetAt(end)];
    const source = editor.model.sharedModel.getSource();
    return source.slice(Math.min(one, other), Math.max(one, other)).trim();
  }

  ownId(): string | null {
    const cells = this.#views.flatMap(({ content }) => content.widgets);
    return cells.find((cell) => this.#isOwn(cell))?.model.id ?? null;
  }

  onActiveChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  dispose(): void {
    Signal.disconnectReceiver(this);
  }

  /** The open views of the notebook. */
  get #views(): NotebookPanel[] {
    return this.#tracker.filter(({ context }) => context === this.#context);
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
    this.#tracker.currentChanged.connect(this.#follow, this);
    const views = this.#views;
    const open = (panel: NotebookPanel | null) => views.find((view) => view === panel);
    this.#panel = open(this.#tracker.currentWidget) ?? open(this.#panel) ?? views[0] ?? null;
    this.#panel?.disposed.connect(this.#follow, this);
    this.#panel?.content.activeCellChanged.connect(this.#follow, this);
    const activeCell = this.#panel?.content.activeCell ?? null;
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
