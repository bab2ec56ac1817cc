/** What is done with the cells of one notebook: one thing at a time with each of them. */

import type { Cell, ICodeCellModel } from "@jupyterlab/cells";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import type { NotebookPanel } from "@jupyterlab/notebook";
import type { IOutputModel } from "@jupyterlab/rendermime";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { IDisposable } from "@lumino/disposable";
import type { PanelLayout } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Action, CellKind } from "../connection/messages.js";
import { codePoints } from "../dom/offsets.js";
import { NotebookDocument, refusalOf } from "../page/document.js";
import { outputsText } from "../page/outputs.js";
import { hideChanges, showChanges } from "./marks.js";
import { type Keeper, Region } from "./region.js";
import { type Fit, fitOf, type Target, Task } from "./task.js";

/** What the page has for all notebooks. */
export interface Tools {
  readonly trans: TranslationBundle;
  highlight(code: string, mimeType: string, element: HTMLElement): Promise<void>;
  /** What was asked for in the box, in any notebook. */
  readonly instructions: string[];
}

/** The actions under way or not yet put away. They hold their cells by id, whatever is in front. */
export class CellActions implements IDisposable {
  readonly #panel: NotebookPanel;
  readonly #connection: Connection;
  readonly #tools: Tools;
  readonly #views = new Set<View>();
  #isPlacing = false;
  #isDisposed = false;

  constructor(panel: NotebookPanel, connection: Connection, tools: Tools) {
    this.#panel = panel;
    this.#connection = connection;
    this.#tools = tools;
    panel.content.modelContentChanged.connect(this.#placeSoon, this);
    panel.disposed.connect(() => this.dispose());
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /** Do something with a cell, in the place of what was done with it before. */
  begin(action: Action, cell: Cell): void {
    const old = this.of(cell);
    old?.end();
    const view: View = new View(this.#panel, this.#connection, this.#tools, action, cell, {
      canTake: (other) => this.of(other)?.endIfRead() ?? true,
      end: () => this.#views.delete(view),
    });
    view.takeOver(old);
    this.#views.add(view);
    view.place();
    view.reveal();
    if (action === "edit") view.focus();
    else view.begin();
  }

  /** What is done with a cell, if something is. */
  of(cell: Cell | null): View | null {
    return [...this.#views].find(({ id }) => id === cell?.model.id) ?? null;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const view of [...this.#views]) view.end();
  }

  /** Cells that are moved go and come again: look once all is in its place. */
  #placeSoon(): void {
    if (this.#isPlacing || this.#views.size === 0) return;
    this.#isPlacing = true;
    setTimeout(() => {
      this.#isPlacing = false;
      for (const view of [...this.#views]) view.place();
    });
  }
}

/** What a view asks: whether it can go to another cell. And what it tells: that it is put away. */
interface Owner {
  canTake(cell: Cell): boolean;
  end(): void;
}

/** An action on a cell of a notebook, as it is seen there: a proposal in the cell it changes. */
export class View {
  readonly #panel: NotebookPanel;
  readonly #tools: Tools;
  #id: string;
  readonly #task: Task;
  readonly #wasInEditor: boolean;
  readonly #owner: Owner;
  #cell: Cell | null = null;
  #region: Region | null = null;

  constructor(
    panel: NotebookPanel,
    connection: Connection,
    tools: Tools,
    action: Action,
    cell: Cell,
    owner: Owner,
  ) {
    this.#panel = panel;
    this.#tools = tools;
    this.#id = cell.model.id;
    this.#wasInEditor = panel.content.mode === "edit";
    this.#owner = owner;
    this.#task = new Task(connection, action, targetOf(cell), () => this.#follow());
  }

  /** The cell where it stands. */
  get id(): string {
    return this.#id;
  }

  /** Whether there is something to accept. */
  get isAcceptable(): boolean {
    const fit = this.#fit();
    return fit === "fits" || (fit === "below" && canInsert(this.#panel));
  }

  /** Begin with what was typed in another one and not sent. */
  takeOver(old: View | null): void {
    if (old) this.#task.draft = old.#task.draft;
  }

  begin(): void {
    this.#task.begin();
  }

  focus(): void {
    this.#region?.focus();
  }

  /** Bring it and the code above it in sight: whoever pressed a button far below expects to see it. */
  reveal(): void {
    const region = this.#region?.node;
    if (!region) return;
    const seen = this.#panel.content.node.getBoundingClientRect();
    const { top, bottom } = region.getBoundingClientRect();
    if (top < seen.top || bottom > seen.bottom) region.scrollIntoView({ block: "center" });
  }

  accept(): void {
    const { state } = this.#task;
    if (state.kind !== "proposal" || !this.#cell || !this.isAcceptable) return;
    if (state.proposal.is_below) this.#insertBelow();
    else {
      this.end(); // what is written from now on is no edit of somebody else's
      documentOf(this.#panel).replace(this.#id, state.proposal);
    }
  }

  /** Put it away; whoever was in it is back in the cell. */
  end(): void {
    if (this.#task.state.kind === "over") return;
    if (this.#region?.node.contains(document.activeElement)) this.#goBack();
    this.#task.end();
    this.#leave();
    this.#owner.end();
  }

  /** Put it away if nothing is written, decided or typed in it, and tell whether that is so. */
  endIfRead(): boolean {
    const isRead = ["answer", "failed"].includes(this.#task.state.kind);
    if (isRead) this.end();
    return isRead;
  }

  /** Go where a proposal belongs: what failed in one cell may be mended in another. */
  #follow(isAsked = false): void {
    const [{ content }, other] = [this.#panel, this.#other()];
    const isHere = content.activeCell === this.#cell;
    const hasFocus = this.#region?.node.contains(document.activeElement);
    const isFree = other !== null && this.#owner.canTake(other);
    if (isFree) {
      this.#id = other.model.id;
      this.place();
      if (hasFocus) this.#goBack();
    } else this.#show();
    if (!other || !(isAsked || (isFree && isHere))) return;
    content.activeCellIndex = content.widgets.indexOf(other);
    void content.scrollToItem(content.activeCellIndex).then(() => {
      if (other === this.#cell) this.reveal();
      if (other === this.#cell && document.activeElement === document.body) this.#goBack();
    });
  }

  /** The cell that a proposal is for, while that is another one. */
  #other(): Cell | null {
    const { state } = this.#task;
    const cell = state.kind === "proposal" ? this.#find(state.proposal.cell) : null;
    return cell === this.#cell ? null : cell;
  }

  #find(id: string): Cell | null {
    return this.#panel.content.widgets.find(({ model }) => model.id === id) ?? null;
  }

  /** Be where the cell is now, and end when it is nowhere. */
  place(): void {
    const cell = this.#find(this.#id);
    if (!cell) this.end();
    if (!cell || cell === this.#cell) return;
    this.#leave();
    this.#cell = cell;
    cell.model.sharedModel.changed.connect(this.#showSoon, this);
    void cell.ready.then(() => {
      if (cell.isDisposed || cell !== this.#cell || this.#region) return;
      this.#settle(cell);
    });
    if (!cell.isPlaceholder()) this.#settle(cell);
  }

  #settle(cell: Cell): void {
    this.#region = new Region(this.#task, this.#keeper(cell));
    const layout = cell.layout as PanelLayout;
    const input = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-inputWrapper"));
    layout.insertWidget(input + 1, this.#region);
    this.#show();
  }

  #leave(): void {
    const cell = this.#cell;
    this.#cell = null;
    this.#region?.dispose();
    this.#region = null;
    if (!cell || cell.isDisposed) return;
    cell.model.sharedModel.changed.disconnect(this.#showSoon, this);
    cell.removeClass("jllm-has-action");
    hideMarks(cell);
  }

  /** Not yet: the editor that tells of a change takes no marks until it is done with it. */
  #showSoon(): void {
    queueMicrotask(() => this.#show());
  }

  #show(): void {
    const [cell, region] = [this.#cell, this.#region];
    const { state } = this.#task;
    if (!cell || !region || state.kind === "over") return;
    const isLeavingBox = region.node.querySelector("textarea") === document.activeElement;
    region.show();
    cell.addClass("jllm-has-action");
    if (state.kind === "working" && isLeavingBox) this.#goBack();
    const editor = editorOf(cell);
    if (!editor) return;
    if (state.kind === "proposal" && this.#fit() === "fits") {
      showChanges(editor, state.proposal.source, this.#highlight(cell));
    } else hideChanges(editor);
  }

  #fit(): Fit | null {
    const { state } = this.#task;
    if (state.kind !== "proposal" || !this.#cell) return null;
    const { sharedModel } = this.#cell.model;
    if (state.proposal.cell !== this.#id) return this.#other() ? "elsewhere" : "gone";
    return fitOf(state.proposal, sharedModel.getSource(), isEditable(this.#panel, this.#cell));
  }

  #insertBelow(): void {
    const { state } = this.#task;
    if (state.kind !== "proposal") return;
    const { source, metadata } = state.proposal;
    documentOf(this.#panel).insertBelow([{ source, metadata }], this.#id);
    this.end();
  }

  /** Whoever asked was in the cell or in its editor; they are there again. */
  #goBack(): void {
    if (this.#wasInEditor) this.#cell?.editor?.focus();
    else this.#cell?.node.focus({ preventScroll: true });
  }

  #highlight(cell: Cell) {
    return (code: string, element: HTMLElement) =>
      this.#tools.highlight(code, cell.model.mimeType, element);
  }

  #keeper(cell: Cell): Keeper {
    return {
      trans: this.#tools.trans,
      highlight: this.#highlight(cell),
      fit: () => this.#fit() ?? "closed",
      canInsert: () => canInsert(this.#panel),
      accept: () => this.accept(),
      insertBelow: () => this.#insertBelow(),
      number: () => (this.#other()?.model as ICodeCellModel | undefined)?.executionCount ?? " ",
      show: () => this.#follow(true),
      end: () => this.end(),
      instructions: this.#tools.instructions,
    };
  }
}

/** Whether a cell may be changed. */
export function isEditable(panel: NotebookPanel, cell: Cell): boolean {
  return refusalOf(panel.context.model, cell.model.sharedModel) === null;
}

/** Whether a notebook takes new cells. */
function canInsert(panel: NotebookPanel): boolean {
  return refusalOf(panel.context.model) === null;
}

function documentOf(panel: NotebookPanel): NotebookDocument {
  return new NotebookDocument(panel.context.model);
}

/** The error that a cell's outputs show. */
export function errorOf(cell: Cell): IOutputModel | null {
  const { outputs } = cell.model as Partial<ICodeCellModel>;
  for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
    const output = outputs?.get(index);
    if (output?.type === "error") return output;
  }
  return null;
}

function targetOf(cell: Cell): Target {
  const source = cell.model.sharedModel.getSource();
  const { from = 0, to = 0 } = editorOf(cell)?.state.selection.main ?? {};
  const range = { start: codePoints(source, from), end: codePoints(source, to) };
  const error = errorOf(cell);
  const shown = error && outputsText([error.toJSON() as never]);
  return {
    cell: { id: cell.model.id, source, error: shown, kind: cell.model.type as CellKind },
    selection: from < to ? range : null,
  };
}

function editorOf(cell: Cell) {
  return (cell.editor as CodeMirrorEditor | null)?.editor ?? null;
}

function hideMarks(cell: Cell): void {
  const editor = editorOf(cell);
  if (editor) hideChanges(editor);
}
