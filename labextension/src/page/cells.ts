/** The notebook that a chat is about, where JupyterLab's extension is in the page.
 *
 * Elsewhere (VS Code, Colab, a server without the extension) code lands by way of the kernel.
 */

import type { Attachment, Change } from "../connection/messages.js";
import { trans } from "../dom/words.js";
import type { Cell, NotebookModel } from "./document.js";
import { isOff, modelOf, NotebookDocument } from "./document.js";
import { outputsOf, outputsText, shortened } from "./outputs.js";

/** The extension's service for a chat in or beside a notebook. */
export interface NotebookView {
  activeId: () => string | null;
  /** The selected text of the active cell; null: the chat is in the notebook. */
  selection: () => string | null;
  /** The cell that the chat is in. */
  ownId: () => string | null;
  onActiveChanged: (listener: () => void) => () => void;
  /** Show a change in its cell, where it can be accepted; fails in words. */
  propose: (change: Change) => Promise<void>;
  /** Show a dialog, and return what the user selects in it. */
  chooseFiles: () => Promise<{ path: string; type: string }[]>;
  /** The paths of the other notebooks that are open. */
  otherNotebooks: () => string[];
  dispose: () => void;
}

/** A notebook's path with its drive, and the cell of a chat; null: the chat is in no cell. */
export type ChatPlace = { path: string; cell: string | null };

type FindView = (context: Context, element: HTMLElement) => NotebookView | null;

/** Scripts that are loaded apart meet here: the extension's, and a widget's. */
const page = globalThis as { jupyterLlmNotebook?: FindView };

/** Let chats find the notebook whose context they know. */
export function lendNotebooks(find: FindView): void {
  page.jupyterLlmNotebook = find;
}

interface Context {
  path?: string;
  sessionContext?: { session?: { kernel?: { clientId: string } | null } | null };
}

/** The notebook that a chat in an element is about; null where it is out of reach. */
export function createNotebook(manager: unknown, element: HTMLElement): Notebook | null {
  const [model, context] = [modelOf(manager), contextOf(manager)];
  const view = context && page.jupyterLlmNotebook?.(context, element);
  return model && view ? new Notebook(model, view, context) : null;
}

/** Return the page's name in the headers (`session`) of all messages that it sends to the kernel. */
export function clientOf(manager: unknown): string | null {
  return contextOf(manager)?.sessionContext?.session?.kernel?.clientId ?? null;
}

function contextOf(manager: unknown): Context | undefined {
  return (manager as { context?: Context } | undefined)?.context;
}

/** The document, and where the user is in it. */
export class Notebook extends NotebookDocument {
  readonly #view: NotebookView;
  readonly #context: Context;

  constructor(document: NotebookModel, view: NotebookView, context: Context) {
    super(document);
    this.#view = view;
    this.#context = context;
  }

  /** The cell that the user is at, or was at before they came to the panel. */
  activeCell(): Cell | null {
    const id = this.#view.activeId();
    return id === null ? null : this.cell(id);
  }

  /** Below which cell code is to come: the active one, else the chat's. */
  get anchor(): string | null {
    return this.activeCell()?.id ?? this.#view.ownId();
  }

  /** Show a change in its cell, where it can be accepted; fails in words. */
  async propose(change: Change): Promise<void> {
    const isSame = this.cell(change.cell ?? "")?.source === change.source;
    if (isSame && change.runs.length === 0) throw new Error(trans.__("Nothing would change."));
    return this.#view.propose(change);
  }

  /** Attach the source of a cell, by default the active one; or say why there is none. */
  attachCell(id = this.activeCell()?.id): Attachment | string {
    const cell = this.#includedCell(id);
    if (typeof cell === "string") return cell;
    if (!cell.source.trim()) return trans.__("The selected cell is empty.");
    return { label: this.#label(cell), text: shortened(cell.source) };
  }

  /** Whether a host tells what the user is at, as one beside the notebook does. */
  get isBeside(): boolean {
    return this.#view.selection() !== null;
  }

  /** Return what a prompt does not include by itself: the selection, and a cell that has to run. */
  atHand(): Attachment[] {
    const [selected, cell] = [this.#view.selection(), this.#includedCell()];
    if (!this.isBeside || typeof cell === "string" || !cell.source.trim()) return [];
    const model = this.at(cell.index);
    const label = this.#label(cell);
    const hasRun = cell.type !== "code" || (model.executionCount && !model.isDirty);
    const attachments = hasRun ? [] : [{ label, text: shortened(cell.source) }];
    if (selected) {
      attachments.push({ label: trans.__("Selection in %1", label), text: shortened(selected) });
    }
    return attachments;
  }

  /** The place of the chat; null: the notebook's path is unknown. */
  get place(): ChatPlace | null {
    const { path } = this.#context;
    return path === undefined ? null : { path, cell: this.#view.ownId() };
  }

  /** Let the user choose files. Return an attachment for each file, a message for each folder. */
  async chooseFiles(): Promise<(Attachment | string)[]> {
    return (await this.#view.chooseFiles()).map(({ path, type }) =>
      type === "directory" ? trans.__("Select a file, not a folder.") : this.attachFile(path),
    );
  }

  /** Return an attachment for a file of the server; the kernel reads the file. */
  attachFile(path: string): Attachment {
    return { label: this.#wayTo(path), text: null };
  }

  /** The relative paths of the other notebooks that are open. */
  get openNotebooks(): string[] {
    return this.#view.otherNotebooks().map((path) => this.#wayTo(path));
  }

  /** The way to a file of the server from the notebook's folder. */
  #wayTo(path: string): string {
    const paths = [this.#context.path ?? "", path];
    const [own = "", to = ""] = paths.map((one) => one.replace(/^\w+:/, ""));
    const folder = own.slice(0, own.lastIndexOf("/") + 1);
    return to.startsWith(folder) ? to.slice(folder.length) : folder.replace(/[^/]+/g, "..") + to;
  }

  /** The active cell's output as text, to go along with a prompt; or why there is none. */
  attachOutput(): Attachment | string {
    const cell = this.#includedCell();
    if (typeof cell === "string") return cell;
    const text = outputsText(outputsOf(this.at(cell.index)));
    if (!text) return trans.__("The selected cell has no output in words.");
    return { label: this.#label(cell, true), text: shortened(text) };
  }

  /** Call a function whenever another cell becomes the active one. What is returned ends it. */
  onActiveCellChanged(listener: () => void): () => void {
    return this.#view.onActiveChanged(listener);
  }

  /** Stop looking at the page. */
  dispose(): void {
    this.#view.dispose();
  }

  /** The active cell, or another one, or why a prompt cannot include it. */
  #includedCell(id = this.activeCell()?.id): Cell | string {
    const cell = this.cell(id ?? "");
    if (!cell && id) return trans.__("The cell is in another notebook.");
    if (!cell) return trans.__("Select a cell first.");
    const isIncluded = !isOff(this.at(cell.index).sharedModel);
    return isIncluded ? cell : trans.__("The selected cell's tag keeps it from the model.");
  }

  /** Return the name of a cell, or of its output. */
  #label({ index }: Cell, isOutput = false): string {
    if (!isOutput) return this.nameOf(index);
    const { executionCount: count } = this.at(index);
    return count ? `Out [${count}]` : trans.__("Output of cell %1", index + 1);
  }
}
