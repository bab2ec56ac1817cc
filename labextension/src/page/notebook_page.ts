/** The extension's service for a chat: the user's place in a notebook, and proposals in cells. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { Cell } from "@jupyterlab/cells";
import type { IDocumentManager } from "@jupyterlab/docmanager";
import type { INotebookTracker, NotebookPanel } from "@jupyterlab/notebook";
import { Signal } from "@lumino/signaling";
import { trans } from "../dom/words.js";
import type { NotebookView } from "./cells.js";

/** The command of plugin `jupyter-llm:actions` that shows a chat's change in a cell. */
export const PROPOSE = "jupyter-llm:propose";

interface Place {
  tracker: INotebookTracker;
  commands: JupyterFrontEnd["commands"];
  manager: IDocumentManager;
  context: { path?: string };
  element: HTMLElement;
}

/** One notebook, whichever tab is in front, for a chat in one of its cells or beside it. */
export class NotebookPage implements NotebookView {
  readonly #place: Place;
  readonly #listeners = new Set<() => void>();
  /** The view that the user is in, or was in last. */
  #panel: NotebookPanel | null = null;
  #active: Cell | null = null;
  #before: Cell | null = null;

  /** `element` is the chat's, which need not be on the page yet. */
  constructor(place: Place) {
    this.#place = place;
    this.#follow();
  }

  async propose(change: object): Promise<void> {
    if (!this.#place.commands.hasCommand(PROPOSE)) {
      const plugin = "jupyter-llm:actions";
      throw new Error(trans.__("Plugin %1 is off. Enable it, or insert the code below.", plugin));
    }
    const panel = this.#panel?.id ?? "";
    await this.#place.commands.execute(PROPOSE, { panel, change: { ...change } });
  }

  async chooseFiles(): Promise<{ path: string; type: string }[]> {
    const { FileDialog } = await import("@jupyterlab/filebrowser");
    const { context, manager } = this.#place;
    const { path = "" } = context;
    const { value } = await FileDialog.getOpenFiles({
      manager,
      title: trans.__("Attach Files"),
      defaultPath: path.slice(0, Math.max(path.lastIndexOf("/"), 0)),
    });
    return value ?? [];
  }

  otherNotebooks(): string[] {
    const others = this.#place.tracker.filter(({ context }) => context !== this.#place.context);
    return [...new Set(others.map(({ context }) => context.path))];
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
    return this.#place.tracker.filter(({ context }) => context === this.#place.context);
  }

  /** A click into a chat makes its cell the active one: users mean the cell that they were at before. */
  get #cell(): Cell | null {
    const cell = this.#active && this.#isOwn(this.#active) ? this.#before : this.#active;
    return cell?.isDisposed ? null : cell;
  }

  #isOwn({ node }: Cell): boolean {
    return node.contains(this.#place.element);
  }

  #follow(): void {
    Signal.disconnectReceiver(this); // the cell that the user was at
    this.#place.tracker.currentChanged.connect(this.#follow, this);
    const views = this.#views;
    const open = (panel: NotebookPanel | null) => views.find((view) => view === panel);
    this.#panel = open(this.#place.tracker.currentWidget) ?? open(this.#panel) ?? views[0] ?? null;
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
