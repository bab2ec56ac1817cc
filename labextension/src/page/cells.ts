/** The notebook that a panel is in, where the page lets it in: JupyterLab 4 and Notebook 7.
 *
 * There a widget reaches the document through its widget manager. Elsewhere (VS Code, Colab, pages
 * without a notebook) there is none, and code lands by way of the kernel.
 */

import type { AnyModel } from "@anywidget/types";
import type { Attachment, Transcript } from "../connection/messages.js";
import { trans } from "../dom/words.js";
import type { Cell, CellModel, NotebookModel } from "./document.js";
import { modelOf, NotebookDocument } from "./document.js";
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

type PanelModel = Pick<AnyModel, "get"> & { widget_manager: unknown; page?: CellsOnPage };

interface Context {
  path?: string;
  sessionContext?: { session?: { kernel?: { clientId: string } | null } | null };
}

/** The notebook that a widget's view, an element, is in; null where it is out of reach. */
export function createNotebook(model: PanelModel, element: HTMLElement): Notebook | null {
  const found = modelOf(model.widget_manager);
  return found && new Notebook(found, model, element);
}

/** What a page names itself in all that it sends to the kernel, in `session` of its headers. */
export function clientOf(manager: unknown): string | null {
  return contextOf(manager)?.sessionContext?.session?.kernel?.clientId ?? null;
}

function contextOf(manager: unknown): Context | undefined {
  return (manager as { context?: Context } | undefined)?.context;
}

/** The document, and where the user is in it. */
export class Notebook extends NotebookDocument {
  readonly #page: CellsOnPage;
  readonly #model: PanelModel;

  constructor(document: NotebookModel, model: PanelModel, element: HTMLElement) {
    super(document);
    this.#model = model;
    this.#page = model.page ?? new PageCells(element, this);
  }

  /** The cell that the user is at, or was at before they came to the panel. */
  activeCell(): Cell | null {
    const id = this.#page.activeId();
    return id === null ? null : this.cell(id);
  }

  /** The cell that shows the panel. */
  ownCell(): Cell | null {
    const id = String(this.#model.get("panel_id"));
    const found = this.models.findIndex((cell) => transcriptIndex(cell, id) >= 0);
    const index = found >= 0 ? found : this.#page.ownPlace();
    return index < 0 ? null : this.describe(index);
  }

  /** Below which cell code is to come: the active one, else the panel's. */
  get anchor(): string | null {
    return (this.activeCell() ?? this.ownCell())?.id ?? null;
  }

  /** The active cell's source, to go along with a prompt; or why there is none. */
  attachCell(): Attachment | string {
    const cell = this.#toldCell();
    if (typeof cell === "string") return cell;
    if (!cell.source.trim()) return trans.__("The selected cell is empty.");
    return { label: this.#label(cell), text: shortened(cell.source) };
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
    if (!this.isBeside || typeof cell === "string" || !cell.source.trim()) return [];
    const model = this.at(cell.index);
    const label = this.#label(cell);
    const hasRun = cell.type !== "code" || (model.executionCount && !model.isDirty);
    const found = hasRun ? [] : [{ label, text: shortened(cell.source) }];
    if (selected) {
      found.push({ label: trans.__("Selection in %1", label), text: shortened(selected) });
    }
    return found;
  }

  /** Where the notebook is on the server, with its drive; null: unknown. */
  get path(): string | null {
    return contextOf(this.#model.widget_manager)?.path ?? null;
  }

  /** The way to a file of the server from the notebook's folder. */
  wayTo(path: string): string {
    const paths = [this.path ?? "", path];
    const [own = "", to = ""] = paths.map((one) => one.replace(/^\w+:/, ""));
    const folder = own.slice(0, own.lastIndexOf("/") + 1);
    return to.startsWith(folder) ? to.slice(folder.length) : folder.replace(/[^/]+/g, "..") + to;
  }

  /** The active cell's output as text, to go along with a prompt; or why there is none. */
  attachOutput(): Attachment | string {
    const cell = this.#toldCell();
    if (typeof cell === "string") return cell;
    const text = outputsText(outputsOf(this.at(cell.index)));
    if (!text) return trans.__("The selected cell has no output in words.");
    return { label: this.#label(cell, true), text: shortened(text) };
  }

  /**
   * Put a transcript in the place of the one that is saved below the panel, if there is one.
   *
   * The other outputs of the cell, and so the panel itself, stay as they are.
   */
  writeTranscript(panelId: string, { data, metadata }: Transcript): void {
    this.#page.leaveHiddenMath();
    for (const cell of this.models) {
      const index = transcriptIndex(cell, panelId);
      if (index < 0 || this.refusal(cell.id) === "notebook") continue;
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

  /** The active cell, or why nothing can be told of it. */
  #toldCell(): Cell | string {
    const cell = this.activeCell();
    if (!cell) return trans.__("Select a cell first.");
    const isTold = !isOff(this.at(cell.index).sharedModel);
    return isTold ? cell : trans.__("The selected cell's tag keeps it from the model.");
  }

  /** What people call a cell: its number if it ran, else its place. */
  #label({ index }: Cell, isOutput = false): string {
    const count = this.at(index).executionCount;
    if (count) return isOutput ? `Out [${count}]` : `In [${count}]`;
    return isOutput ? trans.__("Output of cell %1", index + 1) : trans.__("Cell %1", index + 1);
  }
}

function outputsOf(cell: CellModel | undefined): Output[] {
  const outputs = cell?.outputs;
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
