/** The cells of a notebook's document: all that finds, inserts and changes them goes through here. */

import type { Landing, LandingCell, Refusal } from "../connection/messages.js";
import { edits } from "../dom/diff.js";
import { fingerprint, setMetadata } from "../dom/pieces.js";
import { randomId } from "../dom/random_id.js";
import { trans } from "../dom/words.js";
import type { Output } from "./outputs.js";

/** The metadata key that names the cell for which a cell was made, with its text at that time. */
const MADE = "jupyter_llm_made_by";

export interface Cell {
  id: string;
  index: number;
  source: string;
  type: string;
}

export interface NewCell {
  /** One of code, where nothing else is said. */
  type?: string;
  id?: string;
  source: string;
  metadata?: Record<string, unknown>;
}

/** The part that we use of the models of JupyterLab's documents, which others may change too. */
interface Shared {
  transact(change: () => void): void;
  undoManager?: { stopCapturing(): void } | null;
}

interface SharedCell extends Shared {
  getSource(): string;
  updateSource(start: number, end: number, text: string): void;
  getMetadata(key: string): unknown;
  setMetadata(key: string, value: unknown): void;
}

interface OutputsModel {
  length: number;
  get(index: number): { metadata: Record<string, unknown>; toJSON(): Output };
  set(index: number, output: Output): void;
}

export interface CellModel {
  id: string;
  type: string;
  sharedModel: SharedCell;
  outputs?: OutputsModel;
  executionCount?: number | null;
  /** It has changed since it ran. */
  isDirty?: boolean;
}

export interface NotebookModel {
  readOnly?: boolean;
  cells: { length: number; get(index: number): CellModel };
  sharedModel: Shared & {
    insertCells(index: number, cells: object[]): void;
    deleteCell(index: number): void;
    /** The people in the document, where people share it. */
    awareness?: {
      getLocalState(): { user?: { display_name?: string } } | null;
      getStates(): { size: number };
    };
  };
}

/** The document that a widget's manager belongs to; null where it is out of reach. */
export function modelOf(manager: unknown): NotebookModel | null {
  const { context } = (manager ?? {}) as { context?: { model?: NotebookModel } };
  const model = context?.model;
  const { cells, sharedModel } = model ?? {};
  const isNotebook =
    typeof cells?.get === "function" && typeof sharedModel?.insertCells === "function";
  return isNotebook && model ? model : null;
}

/**
 * Cells are found by their ids, since their places change under the user's hands. Whatever is changed
 * is one step to undo, apart from what is typed before and after, and no more of a text than differs:
 * cursors and what others write there stay where they are.
 */
export class NotebookDocument {
  readonly #model: NotebookModel;

  constructor(model: NotebookModel) {
    this.#model = model;
  }

  /** The user's name in a document that people share; else "". */
  get writer(): string {
    return this.#model.sharedModel.awareness?.getLocalState()?.user?.display_name ?? "";
  }

  /** Whether another page has the document open, where people share it. */
  get isShared(): boolean {
    return (this.#model.sharedModel.awareness?.getStates().size ?? 0) > 1;
  }

  get models(): CellModel[] {
    const { cells } = this.#model;
    return Array.from({ length: cells.length }, (_, index) => cells.get(index));
  }

  /** Return the name of a cell for people: its number if it ran, else its place. */
  nameOf(index: number): string {
    const { executionCount: count } = this.at(index);
    return count ? `In [${count}]` : trans.__("Cell %1", index + 1);
  }

  protected at(index: number): CellModel {
    return this.#model.cells.get(index);
  }

  cell(id: string): Cell | null {
    const index = this.models.findIndex((cell) => cell.id === id);
    return index < 0 ? null : this.describe(index);
  }

  protected describe(index: number): Cell {
    const { id, type, sharedModel } = this.at(index);
    return { id, index, type, source: sharedModel.getSource() };
  }

  /** Make changes of several cells, which the notebook, and no cell of it, undoes in one step. */
  together(change: () => void): void {
    inOneStep(this.#model.sharedModel, change);
  }

  /** Why nothing can be put into a cell. */
  refusal(id: string): Refusal | null {
    const shared = this.#shared(id);
    return shared ? refusalOf(this.#model, shared) : "gone";
  }

  /** Insert code cells below another, or at the end, in their order; say why if that cannot be. */
  insertBelow(cells: NewCell[], anchorId: string | null): Refusal | null {
    const refusal = refusalOf(this.#model);
    if (refusal) return refusal;
    const { sharedModel, cells: all } = this.#model;
    const anchor = anchorId === null ? all.length - 1 : this.cell(anchorId)?.index;
    if (anchor === undefined) return "gone";
    const made = cells.map(({ id, source, metadata = {}, type = "code" }) => ({
      ...{ id, cell_type: type, source, metadata },
      ...(type === "code" ? { outputs: [], execution_count: null } : {}),
    }));
    inOneStep(sharedModel, () => sharedModel.insertCells(anchor + 1, made));
    return null;
  }

  /** Delete a cell that its user has not locked; return why if that is not possible. */
  delete(id: string): Refusal | null {
    const [refusal, cell] = [this.refusal(id), this.cell(id)];
    if (refusal || !cell) return refusal;
    if (isLocked(this.at(cell.index).sharedModel)) return "cell";
    const { sharedModel, cells } = this.#model;
    inOneStep(sharedModel, () => {
      if (cells.length === 1) this.insertBelow([{ source: "" }], id); // JupyterLab's could not be undone
      sharedModel.deleteCell(cell.index);
    });
    return null;
  }

  /**
   * Replace the code of a cell and insert `rest` below it; return why if that is not possible.
   * `metadata` is added to the cell's own. With `before`, replace only what still equals it, apart
   * from blanks at the end.
   */
  replace(
    id: string,
    { source, metadata = {} }: NewCell,
    before?: string,
    rest: NewCell[] = [],
  ): Refusal | null {
    const [refusal, shared] = [this.refusal(id), this.#shared(id)];
    if (refusal || !shared) return refusal;
    const old = shared.getSource();
    if (before !== undefined && before.trimEnd() !== old.trimEnd()) return "changed";
    inOneStep(rest.length > 0 ? this.#model.sharedModel : shared, () => {
      for (const { start, end, text } of edits(old, source).reverse()) {
        shared.updateSource(start, end, text);
      }
      setMetadata(shared, metadata);
      if (rest.length > 0) this.insertBelow(rest, id);
    });
    return null;
  }

  /**
   * Put the code of a cell that has run where it belongs. With `before` the first takes the place of
   * the cell itself. Else they come into those that were made for the cell before and are as they were
   * then, and the rest below.
   */
  land(id: string, wanted: LandingCell[], before: string | null): Landing {
    const landing: Landing = { num_replaced: 0, num_staying: 0, is_same: false, refusal: null };
    const [first, ...rest] = wanted;
    if (!this.cell(id)) return { ...landing, refusal: "gone" };
    if (before !== null && first) {
      const refusal = this.replace(id, first, before, rest.map(plain));
      return { ...landing, num_replaced: refusal ? 0 : 1, refusal };
    }
    const made = this.#madeFor(id);
    const places = made.filter(({ isUnchanged }) => isUnchanged).slice(0, wanted.length);
    const bodies = wanted.map(({ body }) => fingerprint(body));
    if (bodies.length === places.length && bodies.every((body, at) => body === places[at]?.body)) {
      return { ...landing, is_same: true };
    }
    const named = (cell: LandingCell, own: string): NewCell => {
      const [source, body] = [fingerprint(cell.source), fingerprint(cell.body)];
      // It says which one it is: a copy that the user makes of it is theirs.
      const metadata = { ...cell.metadata, [MADE]: { cell: id, id: own, source, body } };
      return { id: own, source: cell.source, metadata };
    };
    const replaced = places.filter((place, at) => {
      const cell = wanted[at];
      return cell && this.replace(place.id, named(cell, place.id)) === null;
    });
    const left = wanted.slice(replaced.length).map((cell) => named(cell, randomId()));
    const refusal = left.length > 0 ? this.insertBelow(left, replaced.at(-1)?.id ?? id) : null;
    const [num_replaced, num_staying] = [replaced.length, made.length - replaced.length];
    return { ...landing, num_replaced, num_staying, refusal };
  }

  /** The cells that were made for another one and may be edited, in their order. */
  #madeFor(anchor: string): { id: string; body: unknown; isUnchanged: boolean }[] {
    return this.models.flatMap(({ id, sharedModel: shared }) => {
      const made = shared.getMetadata(MADE) as Record<string, unknown> | undefined;
      if (made?.cell !== anchor || made.id !== id || this.refusal(id)) return [];
      const isUnchanged = made.source === fingerprint(shared.getSource());
      return [{ id, body: made.body, isUnchanged }];
    });
  }

  #shared(id: string): SharedCell | undefined {
    return this.models.find((cell) => cell.id === id)?.sharedModel;
  }
}

/** Why nothing can be put into a notebook, or into a cell of it. */
export function refusalOf(
  notebook: Pick<NotebookModel, "readOnly">,
  shared?: Pick<SharedCell, "getMetadata">,
): Refusal | null {
  if (notebook.readOnly) return "notebook";
  return shared?.getMetadata("editable") === false ? "cell" : null;
}

/** Whether a cell may not be deleted. */
export function isLocked(cell: Pick<SharedCell, "getMetadata">): boolean {
  return cell.getMetadata("deletable") === false;
}

/** Fail, and say in words why something did not land. */
export function checkLanded(refusal: Refusal | null): void {
  const reasons: Record<Refusal, string> = {
    gone: trans.__("The cell is no longer in the notebook."),
    changed: trans.__("The cell has changed meanwhile, so it is left as it is."),
    cell: trans.__("The cell is read-only. Insert the code below it instead."),
    notebook: trans.__("The notebook is read-only. Copy the code instead."),
  };
  if (refusal) throw new Error(reasons[refusal]);
}

const OFF_TAGS = new Set(["llm-off", "llm-hide"]);

/** Whether a cell's tags keep it from the model, as notebook/cells/timeline.py reads them. */
export function isOff(cell: Pick<SharedCell, "getMetadata">): boolean {
  const tags = cell.getMetadata("tags");
  return Array.isArray(tags) && tags.some((tag) => OFF_TAGS.has(tag));
}

function plain({ source, metadata }: LandingCell): NewCell {
  return { source, metadata };
}

function inOneStep(shared: Shared, change: () => void): void {
  shared.undoManager?.stopCapturing();
  shared.transact(change);
  shared.undoManager?.stopCapturing();
}
