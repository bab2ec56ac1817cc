/** What is done with the cells of one notebook: one thing at a time with each of them. */

import type { Cell, ICodeCellModel, MarkdownCell } from "@jupyterlab/cells";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import type { IOutputModel } from "@jupyterlab/rendermime";
import type { IDisposable } from "@lumino/disposable";
import type { PanelLayout } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Action, Attachment, CellKind } from "../connection/messages.js";
import { hunks, replaced } from "../dom/diff.js";
import { codePoints } from "../dom/offsets.js";
import { trans } from "../dom/words.js";
import { NotebookDocument, refusalOf } from "../page/document.js";
import { outputsText } from "../page/outputs.js";
import { hideChanges, showChanges } from "./marks.js";
import { type Keeper, Region } from "./region.js";
import { type Fit, type Target, Task } from "./task.js";

/** What the page has for all notebooks. */
export interface Tools {
  highlight(code: string, mimeType: string, element: HTMLElement): Promise<void>;
  /** What was asked for in the box, in any notebook. */
  readonly instructions: string[];
  /** Go on in the chat of a notebook, which is given something. */
  chat(attachment: Attachment): void;
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
  readonly #wasRendered: boolean;
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
    this.#wasRendered = cell.model.type === "markdown" && (cell as MarkdownCell).rendered;
    this.#owner = owner;
    this.#task = new Task(connection, action, targetOf(cell), () => this.#follow());
  }

  /** The cell where it stands. */
  get id(): string {
    return this.#id;
  }

  /** Whether what is proposed can go where it belongs. */
  get isAcceptable(): boolean {
    const fit = this.#fit();
    return fit === "fits" || fit === "below";
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

  /** Bring what is proposed into the cell, or below it where it does not fit, and run that. */
  accept(isRun = false): void {
    const [{ state }, cell] = [this.#task, this.#cell];
    const [fit, { content, sessionContext }] = [this.#fit(), this.#panel];
    if (state.kind !== "proposal" || !cell || !fit || fit === "shut") return;
    const { source, metadata } = state.proposal;
    const index = content.widgets.indexOf(cell) + (fit === "fits" ? 0 : 1);
    this.end(); // what is written from now on is no edit of somebody else's
    const page = documentOf(this.#panel);
    if (fit === "fits") page.replace(cell.model.id, { source, metadata });
    else page.insertBelow([{ source, metadata, type: cell.model.type }], cell.model.id);
    const changed = content.widgets[index];
    if (isRun && changed) void NotebookActions.runCells(content, [changed], sessionContext);
  }

  /** Accept one of the changes that are proposed, or refuse it; the others stay proposed. */
  #decide(cell: Cell, at: number, isAccepted: boolean): void {
    const { state } = this.#task;
    if (state.kind !== "proposal" || this.#fit() !== "fits") return;
    const before = cell.model.sharedModel.getSource();
    const all = hunks(before, state.proposal.source);
    const changed = replaced(
      before,
      all.filter((_, index) => (index === at) === isAccepted),
    );
    this.#task.settle({ [isAccepted ? "before" : "source"]: changed });
    const { metadata } = state.proposal;
    if (isAccepted) documentOf(this.#panel).replace(this.#id, { source: changed, metadata });
    queueMicrotask(() => {
      const buttons = cell.node.querySelectorAll<HTMLElement>(".jllm-hunk button");
      (buttons[2 * Math.min(at, buttons.length / 2 - 1)] ?? this.#region)?.focus();
    });
  }

  /** Put it away; whoever was in it is back in the cell. */
  end(): void {
    if (this.#task.state.kind === "over") return;
    if (this.#region?.node.contains(document.activeElement)) this.#goBack();
    this.#task.end();
    this.#render(this.#wasRendered);
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
    const hadFocus = region.node.contains(document.activeElement);
    region.show();
    cell.addClass("jllm-has-action");
    if (hadFocus && !region.node.contains(document.activeElement)) this.#goBack();
    const fits = state.kind === "proposal" && this.#fit() === "fits";
    const before = cell.model.sharedModel.getSource();
    if (fits && before !== state.proposal.before) this.#task.settle({ before });
    if (fits) this.#render(false); // what is rendered shows no editor
    const editor = editorOf(cell);
    if (editor && fits) {
      showChanges(editor, state.proposal.source, this.#highlight(cell), (...decided) =>
        this.#decide(cell, ...decided),
      );
    } else if (editor) hideChanges(editor);
  }

  /** Show a cell of Markdown as it is read, or as it is written. */
  #render(isRendered: boolean): void {
    const cell = this.#cell as MarkdownCell | null;
    if (cell && !cell.isDisposed && cell.model.type === "markdown") cell.rendered = isRendered;
  }

  #fit(): Fit | null {
    const { state } = this.#task;
    if (state.kind !== "proposal" || !this.#cell) return null;
    const { sharedModel } = this.#cell.model;
    if (state.proposal.cell !== this.#id) return this.#other() ? "elsewhere" : "gone";
    if (!canInsert(this.#panel)) return "shut";
    return this.#task.fit(sharedModel.getSource(), isEditable(this.#panel, this.#cell));
  }

  /** Have it done once more, for the cell as it stands. */
  #again(wish?: string): void {
    const { id, source } = this.#task.about.cell;
    this.#task.again(this.#find(id)?.model.sharedModel.getSource() ?? source, wish);
  }

  /** Let the chat know what was asked here and what came of it. */
  #chat(): void {
    const { action, about, state } = this.#task;
    const said = state.kind === "answer" ? state.answer : "";
    const proposed = state.kind === "proposal" ? state.proposal.source : "";
    const asked = [`Asked of this cell: ${action}`, about.instruction].filter(Boolean).join(": ");
    const text = [asked, about.cell.source, "Answered:", said || proposed].join("\n\n");
    this.#tools.chat({ label: trans.__("What was said of the cell"), text });
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
      highlight: this.#highlight(cell),
      fit: () => this.#fit() ?? "closed",
      accept: (isRun) => this.accept(isRun),
      again: (wish) => this.#again(wish),
      chat: () => this.#chat(),
      show: () => this.#follow(true),
      stop: () => this.#task.stop() || this.end(),
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
  const error = errorOf(cell);
  const shown = error && outputsText([error.toJSON() as never]);
  return {
    cell: { id: cell.model.id, source, error: shown, kind: cell.model.type as CellKind },
    selection: from < to ? [codePoints(source, from), codePoints(source, to)] : null,
  };
}

function editorOf(cell: Cell) {
  return (cell.editor as CodeMirrorEditor | null)?.editor ?? null;
}

function hideMarks(cell: Cell): void {
  const editor = editorOf(cell);
  if (editor) hideChanges(editor);
}
