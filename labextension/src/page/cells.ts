/** The notebook that a panel is in, where the page lets it in: JupyterLab 4 and Notebook 7.
 *
 * There a widget reaches the document through its widget manager. Elsewhere (VS Code, Colab, pages
 * without a notebook) there is none, and code lands by way of the kernel.
 */

import type { AnyModel } from "@anywidget/types";
import type { Attachment, Transcript } from "../connection/messages.js";
import { setMetadata } from "../dom/pieces.js";
import { isOff } from "./off_cells.js";
import { type Output, outputsText, shortened } from "./outputs.js";
import { PageCells } from "./page_cells.js";

/** Where the cells stand on the page: found there, or told by a host that knows the notebook. */
export interface CellsOnPage {
  activeId: () => string | null;
  /** What is selected in the active cell; null: unknown. */
  selection: () => string | null;
  ownPlace: () => number;
  onActiveChanged: (listener: () => void) => () => void;
  leaveHiddenMath: () => void;
  dispose: () => void;
}

export interface Cell {
  id: string;
  index: number;
  source: string;
  type: string;
}
export interface NewCell {
  id?: string;
  source: string;
  metadata?: Record<string, unknown>;
}

/** What is used of JupyterLab's models. */
interface SharedCell {
  getSource: () => string;
  setSource: (source: string) => void;
  getMetadata: (key: string) => unknown;
  setMetadata: (key: string, value: unknown) => void;
  transact: (change: () => void) => void;
}

interface OutputsModel {
  length: number;
  get: (index: number) => { metadata: Record<string, unknown>; toJSON: () => Output };
  set: (index: number, output: Output) => void;
}

interface CellModel {
  id: string;
  type: string;
  sharedModel: SharedCell;
  outputs?: OutputsModel;
  executionCount?: number | null;
  /** It has changed since it ran. */
  isDirty?: boolean;
}

interface SharedNotebook {
  insertCells: (index: number, cells: object[]) => void;
}

interface NotebookModel {
  cells: { length: number; get: (index: number) => CellModel };
  sharedModel: SharedNotebook;
  path: () => string;
}

interface Context {
  path?: string;
  sessionContext?: { session?: { kernel?: { clientId: string } | null } | null };
}

/** The notebook that a widget's view, an element, is in; null where it is out of reach. */
export function createNotebook(
  model: Pick<AnyModel, "get"> & { widget_manager: unknown; page?: CellsOnPage },
  element: HTMLElement,
): Notebook | null {
  const found = notebookModel(model.widget_manager);
  return found && new Notebook(found, element, String(model.get("panel_id")), model.page);
}

function notebookModel(manager: unknown): NotebookModel | null {
  const { context } = (manager ?? {}) as {
    context?: Context & { model?: Partial<NotebookModel> };
  };
  const { cells, sharedModel } = context?.model ?? {};
  const isNotebook =
    typeof cells?.get === "function" && typeof sharedModel?.insertCells === "function";
  return isNotebook ? { cells, sharedModel, path: () => context?.path ?? "" } : null;
}

/** What a page names itself in all that it sends to the kernel, in `session` of its headers. */
export function clientOf(manager: unknown): string | null {
  const { context } = (manager ?? {}) as { context?: Context };
  return context?.sessionContext?.session?.kernel?.clientId ?? null;
}

/** Cells are found by their ids, since their places change under the user's hands. */
export class Notebook {
  readonly #model: NotebookModel;
  readonly #page: CellsOnPage;
  readonly #panelId: string;

  constructor(model: NotebookModel, element: HTMLElement, panelId: string, page?: CellsOnPage) {
    this.#model = model;
    this.#panelId = panelId;
    const look = () =>
      new PageCells(
        element,
        () => this.#cells(),
        () => this.ownCell()?.id ?? null,
      );
    this.#page = page ?? look();
  }

  /** The cell that the user is at, or was at before they came to the panel. */
  activeCell(): Cell | null {
    const id = this.#page.activeId();
    return id === null ? null : this.cell(id);
  }

  /** The cell that shows the panel. */
  ownCell(): Cell | null {
    const index = this.#cells().findIndex((cell) => transcriptIndex(cell, this.#panelId) >= 0);
    return this.#describe(index >= 0 ? index : this.#page.ownPlace());
  }

  cell(id: string): Cell | null {
    return this.#describe(this.#cells().findIndex((cell) => cell.id === id));
  }

  /**
   * The cells that were made for another one and may be edited, in their order, with what they say
   * of that. `key` is that of the metadata that says so.
   */
  madeFor(id: string, key: string): { id: string; source: string; made: object }[] {
    return this.#cells().flatMap(({ id: own, sharedModel: shared }) => {
      const made = shared.getMetadata(key) as { cell: unknown; id: unknown } | undefined;
      const isMade = made?.cell === id && made.id === own;
      const isOurs = isMade && shared.getMetadata("editable") !== false;
      return isOurs ? [{ id: own, source: shared.getSource(), made }] : [];
    });
  }

  /** The active cell's source, to go along with a prompt. */
  attachCell(): Attachment | null {
    const cell = this.#toldCell();
    if (!cell?.source.trim()) return null;
    return { label: this.#label(cell, "In"), text: shortened(cell.source) };
  }

  /** Whether a host tells what the user is at, as one beside the notebook does. */
  get isBeside(): boolean {
    return this.#page.selection() !== null;
  }

  /**
   * What the user is at and the chat is not told by itself: what is selected, and a cell of code
   * that has not run as it stands.
   */
  atHand(): Attachment[] {
    const [selected, cell] = [this.#page.selection(), this.#toldCell()];
    if (!this.isBeside || !cell?.source.trim()) return [];
    const model = this.#model.cells.get(cell.index);
    const label = this.#label(cell, "In");
    const hasRun = cell.type !== "code" || (model.executionCount && !model.isDirty);
    const found = hasRun ? [] : [{ label, text: shortened(cell.source) }];
    if (selected) found.push({ label: `Selection in ${label}`, text: shortened(selected) });
    return found;
  }

  /** The way to a file of the server from the notebook's folder. */
  wayTo(path: string): string {
    const [own = "", to = ""] = [this.#model.path(), path].map((one) => one.replace(/^\w+:/, ""));
    const folder = own.slice(0, own.lastIndexOf("/") + 1);
    return to.startsWith(folder) ? to.slice(folder.length) : folder.replace(/[^/]+/g, "..") + to;
  }

  /** The active cell's output as text, to go along with a prompt. */
  attachOutput(): Attachment | null {
    const cell = this.#toldCell();
    if (!cell) return null;
    const text = outputsText(outputsOf(this.#model.cells.get(cell.index)));
    return text ? { label: this.#label(cell, "Out"), text: shortened(text) } : null;
  }

  /**
   * Insert new code cells, in their order: below a cell, else the active one, else the panel's.
   *
   * One undo takes all of them back.
   */
  async insertBelow(cells: NewCell[], anchorId?: string): Promise<void> {
    const anchor =
      (anchorId === undefined ? null : this.cell(anchorId)) ?? this.activeCell() ?? this.ownCell();
    const index = anchor ? anchor.index + 1 : this.#model.cells.length;
    const made = cells.map(({ id, source, metadata = {} }) => ({
      id,
      cell_type: "code",
      source,
      metadata,
      outputs: [],
      execution_count: null,
    }));
    this.#model.sharedModel.insertCells(index, made);
  }

  /**
   * Put other code into a cell. One undo in the cell takes it back. `metadata` is set beside what
   * the cell has. False if there is no such cell, or it is not to be edited.
   */
  replace(id: string, source: string, metadata: Record<string, unknown> = {}): boolean {
    const shared = this.#cells().find((cell) => cell.id === id)?.sharedModel;
    if (!shared || shared.getMetadata("editable") === false) return false;
    // The cell's own: what the notebook has changed, no undo in the cell takes back.
    shared.transact(() => {
      shared.setSource(source);
      setMetadata(shared, metadata);
    });
    return true;
  }

  /**
   * Put a transcript in the place of the one that is saved below the panel, if there is one.
   *
   * The other outputs of the cell, and so the panel itself, stay as they are.
   */
  writeTranscript(panelId: string, { data, metadata }: Transcript): void {
    this.#page.leaveHiddenMath();
    for (const cell of this.#cells()) {
      const index = transcriptIndex(cell, panelId);
      if (index < 0) continue;
      const old = cell.outputs?.get(index).toJSON();
      const output = { ...old, output_type: "display_data", data, metadata };
      if (JSON.stringify(output) !== JSON.stringify(old)) cell.outputs?.set(index, output);
    }
  }

  /** Call a function whenever another cell becomes the active one. What is returned ends it. */
  onActiveCellChanged(listener: () => void): () => void {
    return this.#page.onActiveChanged(listener);
  }

  /** Stop looking at the page. */
  dispose(): void {
    this.#page.dispose();
  }

  #cells(): CellModel[] {
    const { cells } = this.#model;
    return Array.from({ length: cells.length }, (_, index) => cells.get(index));
  }

  /** The active cell, if anything may be told of it. */
  #toldCell(): Cell | null {
    const cell = this.activeCell();
    return cell && !isOff(this.#model.cells.get(cell.index).sharedModel) ? cell : null;
  }

  #describe(index: number): Cell | null {
    if (index < 0) return null;
    const { id, type, sharedModel } = this.#model.cells.get(index);
    return { id, index, type, source: sharedModel.getSource() };
  }

  /** What people call a cell: its number if it ran, else its place. */
  #label({ index }: Cell, side: "In" | "Out"): string {
    const count = this.#model.cells.get(index).executionCount;
    if (count) return `${side} [${count}]`;
    return side === "In" ? `Cell ${index + 1}` : `Output of cell ${index + 1}`;
  }
}

function outputsOf({ outputs }: CellModel): Output[] {
  if (!outputs) return [];
  return Array.from({ length: outputs.length }, (_, index) => outputs.get(index).toJSON());
}

/** The place of a panel's transcript among the outputs of a cell, or -1. */
function transcriptIndex({ outputs }: CellModel, panelId: string): number {
  for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
    if (outputs?.get(index).metadata.jupyter_llm_transcript === panelId) return index;
  }
  return -1;
}
