/** The region below a cell during an action, with its result. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { Cell, MarkdownCell } from "@jupyterlab/cells";
import type { IEditorLanguageRegistry } from "@jupyterlab/codemirror";
import { NotebookActions, type NotebookPanel } from "@jupyterlab/notebook";
import { type PanelLayout, Widget } from "@lumino/widgets";
import type { Connection } from "../connection/connection.js";
import type { Action, Change, Metadata, OpenProposal } from "../connection/messages.js";
import { CHAT } from "../connection/public.js";
import { withVisibleControls } from "../dom/characters.js";
import { begun, hunks, replaced } from "../dom/diff.js";
import {
  arrange,
  copyButton,
  createAnnouncer,
  createBar,
  make,
  makeButton,
  setText,
} from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { createModelText } from "../markdown/model_text.js";
import { isLocked, NotebookDocument, refusalOf } from "../page/document.js";
import { shortened } from "../page/outputs.js";
import { createBox } from "./box.js";
import { editorOf, targetOf } from "./cells.js";
import { type Decide, hideChanges, showChanges } from "./marks.js";
import { deletes, type Fit, onlyRuns, Task } from "./task.js";

/** The parts of the page that the actions of one notebook share. */
export interface Tools {
  readonly panel: NotebookPanel;
  readonly connection: Connection;
  readonly languages: IEditorLanguageRegistry;
  readonly commands: JupyterFrontEnd["commands"];
}

/** The actions of one notebook; `notify` is called whenever one of them may have changed. */
export interface Around extends Tools {
  readonly views: Set<View>;
  readonly notify: () => void;
}

/** The numbers of cells that accepting a proposal changes, adds and deletes. */
export type Offer = { numChanged: number; numNew: number; numDeleted: number };

/**
 * How an action begins: below the cell `place`, as a task that has the name `id`, and, where an
 * instruction is asked for, for so many `others`, too, whose actions begin `onSend`.
 */
interface Beginning {
  place?: Cell;
  id?: string;
  others?: number;
  onSend?: (instruction: string) => void;
}

/**
 * An action on a cell of a notebook, as it is seen there: a proposal in the cell it changes. It holds
 * its cell by its id, since widgets come and go.
 */
export class View {
  readonly #tools: Around;
  readonly #task: Task;
  readonly #wasInEditor: boolean;
  readonly #title: string;
  readonly #node = make("div", "jllm-action");
  readonly #head = make("div", "jllm-action-head");
  readonly #status = make("span", "jllm-action-said");
  /** This is rewritten many times a second, so that nobody is to be told of it. */
  readonly #progress = make("span", "jllm-action-progress");
  readonly #bar = createBar();
  readonly #buttons = make("span", "jllm-action-buttons");
  readonly #body = make("div", "jllm-action-body");
  readonly #box = createBox((text) => this.again(text));
  readonly #announcer = createAnnouncer();
  #text: ReturnType<typeof createModelText> | null = null;
  #id: string;
  #placed: Cell | null = null;
  #widget: Widget | null = null;
  #shown: unknown[] = [];
  #marked: unknown[] = [];
  /** The cell was shown as it is read, and is not since a proposal is to be seen in it. */
  #isTurned = false;

  readonly #beginning: Beginning;

  constructor(tools: Around, action: Action | null, cell: Cell, beginning: Beginning = {}) {
    const { place = cell, id } = beginning;
    this.#tools = tools;
    this.#beginning = beginning;
    this.#id = place.model.id;
    this.#wasInEditor = tools.panel.content.mode === "edit";
    this.#task = new Task(tools.connection, action, targetOf(cell), () => this.#follow(), id);
    const other = id?.startsWith("agent-") ? trans.__("From an agent") : trans.__("From the chat");
    this.#title = action === null ? other : titles()[action];
    this.#node.setAttribute("role", "region");
    this.#status.setAttribute("role", "status");
    const title = make("span", "jllm-action-title", this.#title);
    this.#head.append(title, this.#status, this.#progress, this.#bar.element, this.#buttons);
    this.#node.append(this.#head, this.#body, this.#announcer.element);
    new ResizeObserver(() => {
      const below = this.#head.offsetHeight - this.#node.offsetHeight;
      this.#node.style.insetBlockEnd = `${below}px`; // where it sticks, only its head is in sight
    }).observe(this.#node);
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      // Words that nobody has sent are not lost for one key.
      if (event.target === this.#box.field && this.#box.field.value) this.#firstButton?.focus();
      else this.stop();
    };
    this.#node.addEventListener("keydown", leave, { capture: true }); // before the box keeps it
  }

  /** The cell where it stands. */
  get id(): string {
    return this.#id;
  }

  /** The name of its task. */
  get task(): string {
    return this.#task.id;
  }

  /** Whether nothing is lost if it is put away: an answer, or the reason why there is none. */
  get isRead(): boolean {
    return ["answer", "failed"].includes(this.#task.state.kind);
  }

  /** Whether another action would drop a proposal, or words that were not sent. */
  get isUndecided(): boolean {
    return this.#task.isUndecided || this.#box.field.value !== "";
  }

  /** Whether the model is at work. */
  get isWorking(): boolean {
    return this.#task.state.kind === "working";
  }

  /** What it would do to accept it, which runs nothing; null: there is nothing to accept. */
  get offer(): Offer | null {
    const [{ state }, fit] = [this.#task, this.#fit()];
    if (state.kind !== "proposal" || onlyRuns(state.proposal)) return null;
    if (fit !== "fits" && fit !== "below") return null;
    const isGone = deletes(state.proposal);
    const numNew = Number(fit === "below") + (state.proposal.below?.length ?? 0);
    return { numChanged: Number(fit === "fits" && !isGone), numNew, numDeleted: Number(isGone) };
  }

  /** Whether what is proposed can go where it belongs. */
  get isAcceptable(): boolean {
    const fit = this.#fit();
    return fit === "fits" || fit === "below";
  }

  /** Whether there are several changes, which can be accepted and refused one by one. */
  get hasChanges(): boolean {
    const [{ state }, cell] = [this.#task, this.#cell];
    if (state.kind !== "proposal" || !cell || this.#fit() !== "fits") return false;
    if (state.proposal.below?.length) return false; // parts of a cell belong together
    return hunks(cell.model.sharedModel.getSource(), state.proposal.source).length > 1;
  }

  /** The lines that a proposal removes and adds, in words. */
  get changes(): string[] {
    const { state } = this.#task;
    if (state.kind !== "proposal") return [];
    const before = this.#fit() === "fits" ? this.#cell?.model.sharedModel.getSource() : "";
    return changedLines(before ?? "", state.proposal.source);
  }

  /** Have a screen reader read the changes. */
  read(): void {
    this.#announcer.say(this.changes.join("\n"));
  }

  /** Whether something came of it that there may be another of, or nothing did. */
  get isDone(): boolean {
    const [{ state }, fit] = [this.#task, this.#fit()];
    if (!this.#canRepeat) return false;
    return state.kind === "failed" || (fit !== null && fit !== "elsewhere" && fit !== "gone");
  }

  /** Show what a chat proposes, or ask the kernel, or the person what is to be changed. */
  begin(proposal: Change | null = null, instruction: string | null = null): void {
    this.#tools.views.add(this);
    this.place();
    if (proposal) this.#task.show(proposal);
    this.#reveal();
    const isTyping = document.activeElement instanceof HTMLTextAreaElement; // the next prompt
    if (proposal && !isTyping) this.#firstButton?.focus();
    if (proposal) return;
    if (this.#task.action === "edit" && !instruction) this.#box.field.focus();
    else this.#task.begin(instruction);
  }

  /** Show a proposal that the kernel has kept; a person who is elsewhere stays there. */
  resume(waiting: OpenProposal): void {
    this.#tools.views.add(this);
    this.place();
    this.#task.resume(waiting);
  }

  /** Have the cell edited as was said at another one; a person who is elsewhere stays there. */
  edit(instruction: string): void {
    this.#tools.views.add(this);
    this.place();
    this.#task.begin(instruction);
  }

  /** Bring it in sight, and the focus to its first button. */
  go(): void {
    this.#reveal();
    this.#firstButton?.focus();
  }

  /** Say that another action has to wait for a decision about this one. */
  remind(): void {
    this.#reveal();
    (this.#box.field.value ? this.#box.field : this.#firstButton)?.focus();
    const text = this.#task.isUndecided
      ? trans.__("Decide about this proposal first.")
      : trans.__("Send this or close it first.");
    setText(this.#status, text);
  }

  /** Bring what is proposed into the cell, or below it where it does not fit, and run that. */
  accept(isRun = false): void {
    const [{ state }, cell] = [this.#task, this.#cell];
    const [fit, { content }] = [this.#fit(), this.#tools.panel];
    if (state.kind !== "proposal" || !cell || !fit || fit === "shut") return;
    const { source, metadata, runs, below = [], kinds = [] } = state.proposal;
    const toRun = runs.flatMap((one) => this.#find(one) ?? []);
    if (onlyRuns(state.proposal)) {
      this.#run(toRun);
      return;
    }
    const index = content.widgets.indexOf(cell) + (fit === "fits" ? 0 : 1);
    this.end(true, true); // what is written from now on is no edit of somebody else's
    const { id, type, sharedModel } = cell.model;
    if (deletes(state.proposal)) {
      content.mode = "command"; // where the keys of the notebook undo it
      this.#document.delete(id);
      content.activate();
      return;
    }
    const isSplit = fit === "fits";
    const own = (): Metadata => (isSplit ? sharedModel.getMetadata() : {});
    const rest = below.map((part, at) => {
      return { source: part, metadata: own(), type: kinds[at + 1] ?? "code" };
    });
    if (rest.length > 0) content.mode = "command"; // where the keys of the notebook undo it
    if (fit === "fits") this.#document.replace(id, { source, metadata }, undefined, rest);
    else {
      // A chat proposes code, also below a text.
      const kind = kinds[0] ?? (this.#task.action === null ? "code" : type);
      this.#document.insertBelow([{ source, metadata, type: kind }, ...rest], id);
    }
    const changed = content.widgets.slice(index, index + 1 + rest.length);
    if (isRun) this.#run(fit === "fits" && toRun.length > 0 ? toRun : changed);
  }

  #run(cells: readonly Cell[]): void {
    const { content, sessionContext } = this.#tools.panel;
    this.end();
    void NotebookActions.runCells(content, cells, sessionContext);
  }

  /** Stop what is written; where nothing is, or nothing was proposed before, put it away. */
  stop(): void {
    if (!this.#task.stop()) this.end();
  }

  /** Put it away, or only out of this page; whoever was in it is back in the cell. */
  end(isForAll = true, isAccepted = false): void {
    if (this.#task.state.kind === "over") return;
    if (this.#hasFocus) this.#goBack();
    if (isForAll) this.#task.end(isAccepted);
    else this.#task.leave();
    if (this.#isTurned) this.#turn(true);
    this.#leave();
    this.#tools.views.delete(this);
    this.#tools.notify();
  }

  /** Be where the cell is now, as it is now, and end when it is nowhere. */
  place(): void {
    const cell = this.#find(this.#id);
    if (cell !== this.#cell) this.#leave();
    this.#placed = cell;
    if (!cell) this.end();
    else if (!this.#widget && !cell.isPlaceholder()) {
      this.#widget = new Widget({ node: this.#node });
      const layout = cell.layout as PanelLayout;
      const input = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-inputWrapper"));
      layout.insertWidget(input + 1, this.#widget);
      cell.addClass("jllm-has-action");
    }
    this.#show();
  }

  /** Whether a model was asked, which may propose something else. */
  get #canRepeat(): boolean {
    const { action, id } = this.#task;
    return action !== null && action !== "split" && !id.includes("/"); // the kernel's, as a part
  }

  /** Where it is placed; null once that cell is deleted, which the page hears later. */
  get #cell(): Cell | null {
    return this.#placed?.isDisposed ? null : this.#placed;
  }

  get #document(): NotebookDocument {
    return new NotebookDocument(this.#tools.panel.context.model);
  }

  get #hasFocus(): boolean {
    const isOnChange = this.#cell?.node.querySelector(".jllm-hunk :focus");
    return Boolean(isOnChange) || this.#node.contains(document.activeElement);
  }

  get #firstButton(): HTMLButtonElement | null {
    return this.#buttons.querySelector("button");
  }

  #find(id: string): Cell | null {
    return this.#tools.panel.content.widgets.find(({ model }) => model.id === id) ?? null;
  }

  #leave(): void {
    const cell = this.#cell;
    this.#placed = null;
    this.#widget?.dispose();
    this.#widget = null;
    if (!cell) return;
    cell.removeClass("jllm-has-action");
    this.#marked = [];
    const editor = editorOf(cell);
    if (editor) hideChanges(editor);
  }

  /** Bring it and the code above it in sight: whoever pressed a button far below expects to see it. */
  #reveal(): void {
    const seen = this.#tools.panel.content.node.getBoundingClientRect();
    const { top, bottom } = this.#head.getBoundingClientRect();
    if (top < seen.top || bottom > seen.bottom) this.#node.scrollIntoView({ block: "center" });
  }

  /** Go where a proposal belongs: what failed in one cell may be mended in another. */
  #follow(isAsked = false): void {
    const [{ content }, other] = [this.#tools.panel, this.#other()];
    const [isHere, hasFocus] = [content.activeCell === this.#cell, this.#hasFocus];
    const isFree = other !== null && this.#canTake(other);
    if (isFree) {
      this.#id = other.model.id;
      this.place();
      if (hasFocus) this.#goBack();
    } else this.#show();
    if (!other || !(isAsked || (isFree && isHere))) return;
    content.activeCellIndex = content.widgets.indexOf(other);
    void content.scrollToItem(content.activeCellIndex).then(() => {
      if (other === this.#cell) this.#reveal();
      if (other === this.#cell && document.activeElement === document.body) this.#goBack();
    });
  }

  /** The cell that a proposal is for, while that is another one. */
  #other(): Cell | null {
    const { state } = this.#task;
    const cell = state.kind === "proposal" ? this.#find(state.proposal.cell ?? "") : null;
    return cell === this.#cell ? null : cell;
  }

  /** Put away what stands at another cell if nothing is written, decided or typed in it. */
  #canTake({ model }: Cell): boolean {
    const there = [...this.#tools.views].find(({ id }) => id === model.id);
    const isFree = !there || there.isRead;
    if (isFree) there?.end();
    return isFree;
  }

  /** Whether the proposal fits the cell now, or why not. */
  #fit(): Fit | null {
    const { state } = this.#task;
    if (state.kind !== "proposal" || !this.#cell) return null;
    if (state.proposal.cell !== this.#id) return this.#other() ? "elsewhere" : "gone";
    const [{ model }, { sharedModel }] = [this.#tools.panel.context, this.#cell.model];
    if (refusalOf(model) !== null) return "shut";
    if (deletes(state.proposal) && isLocked(sharedModel)) return "locked";
    return this.#task.fit(sharedModel.getSource(), refusalOf(model, sharedModel) === null);
  }

  #show(): void {
    this.#tools.notify();
    const [cell, { state }, hadFocus] = [this.#cell, this.#task, this.#hasFocus];
    if (!cell || !this.#widget || state.kind === "over") return;
    const fits = this.#fit() === "fits";
    const index = this.#tools.panel.content.widgets.indexOf(cell);
    this.#node.ariaLabel = trans.__("%1: %2", this.#title, this.#document.nameOf(index));
    this.#draw(cell);
    if (fits) this.#turn(false);
    const editor = editorOf(cell);
    const after = fits && state.kind === "proposal" ? state.proposal.source : this.#begun(cell);
    // A key in any cell asks for this look, and so does each word that is written.
    const marked = [editor, editor?.state.doc, after, fits];
    const isSame = marked.every((one, at) => one === this.#marked[at]);
    this.#marked = marked;
    if (editor && after !== null && !isSame) {
      const highlight = (code: string, element: HTMLElement) => {
        const { languages } = this.#tools;
        return languages.highlight(code, languages.findBest(cell.model.mimeType), element);
      };
      showChanges(editor, after, highlight, this.hasChanges ? this.decide : null);
    } else if (editor && after === null) hideChanges(editor);
    if (hadFocus && !this.#hasFocus) this.#goBack();
  }

  /** The cell as far as it is written anew. */
  #begun({ model }: Cell): string | null {
    const { state, action } = this.#task;
    if (state.kind !== "working" || (action !== "edit" && action !== "fix")) return null;
    const lines = state.text.replace(/^\s*```.*\n/, "").split("\n");
    return begun(model.sharedModel.getSource(), lines.slice(0, -1).join("\n"));
  }

  /** Say how the task stands; buttons, with the focus that one may have, stay as long as that does. */
  #draw(cell: Cell): void {
    const [{ state, action }, fit] = [this.#task, this.#fit()];
    const source = cell.model.sharedModel.getSource();
    const shown = [state.kind === "working" || state, fit, fit === "fits" && source];
    const isSame = shown.every((one, at) => one === this.#shown[at]);
    if (isSame && state.kind !== "working") return;
    this.#shown = shown;
    this.#node.dataset.state = state.kind;
    if (!isSame) this.#buttons.replaceChildren();
    const { progress, text } = state.kind === "working" ? state : { progress: null, text: "" };
    setText(this.#progress, progress?.text ?? "");
    this.#bar.show(progress?.share ?? null);
    if (state.kind === "asking") {
      const { others = 0 } = this.#beginning;
      const many = trans.__("What should be changed in the %1 selected cells?", others + 1);
      const one = trans.__("What should be changed in the cell?");
      this.#present("", this.#asking(others > 0 ? many : one));
      this.#button(trans.__("Close"));
    } else if (state.kind === "working") {
      const isCode = text && action !== "explain" && action !== "review";
      const drawn = isCode && !/^\s*`{3}/.test(text) ? this.#code(text) : text;
      this.#present(trans.__("The model is at work"), ...this.#written(drawn, false));
      if (!isSame) this.#button(trans.__("Stop"));
    } else if (state.kind === "answer") {
      this.#present(trans.__("Answered"), ...this.#written(state.answer));
      this.#button(trans.__("Again"), () => this.again());
      this.#chatButton();
      this.#button(trans.__("Close"));
    } else if (state.kind === "failed") {
      this.#present(state.reason);
      if (this.#canRepeat) this.#button(trans.__("Again"), () => this.again());
      this.#button(trans.__("Close"));
    } else if (state.kind === "proposal" && fit) {
      const { proposal, problem } = state;
      const numParts = 1 + (proposal.below?.length ?? 0);
      let text = summary(fit, source, proposal.source);
      if (fit === "fits" && deletes(proposal)) text = trans.__("Deletes the cell");
      if (onlyRuns(proposal)) text = trans.__("A cell has to run first");
      else if (fit === "fits" && numParts > 1) text = trans.__("Split into %1 cells", numParts);
      this.#propose(proposal, fit, problem || text);
    }
  }

  #propose(proposal: Change, fit: Fit, text: string): void {
    const { source, unknown_names: unknown, markdown, runs, below = [], kinds } = proposal;
    const isHere = fit !== "elsewhere" && fit !== "gone";
    const isChange = !onlyRuns(proposal);
    if (!isChange) {
      const { widgets } = this.#tools.panel.content;
      const above = widgets.slice(0, widgets.findIndex(({ model }) => model.id === this.#id) + 1);
      this.#button(trans.__("Run it"), () => this.accept(), true);
      this.#button(trans.__("Run all above"), () => this.#run(above));
    } else if (fit === "fits") {
      const one = trans.__("Accept and run");
      const run = runs.length > 1 ? trans.__("Accept and run %1 cells", runs.length) : one;
      this.#button(trans.__("Accept"), () => this.accept(), true);
      if (source) this.#button(run, () => this.accept(true));
    } else {
      if (fit === "elsewhere") this.#button(trans.__("Show"), () => this.#follow(true), true);
      else if (isHere && fit !== "shut" && source && (fit === "below" || below.length === 0)) {
        this.#button(trans.__("Insert below"), () => this.accept(), fit === "below");
        this.#button(trans.__("Insert below and run"), () => this.accept(true));
      }
      if (source) this.#buttons.append(copyButton(() => source));
    }
    const isAsked = this.#canRepeat;
    if (isHere && isAsked) this.#button(trans.__("Again"), () => this.again());
    if (isAsked) this.#chatButton();
    const canAccept = isChange && (fit === "fits" || fit === "below");
    this.#button(canAccept ? trans.__("Reject") : trans.__("Close"));
    const code = fit !== "fits" && isChange && source ? [source] : [];
    const parts = [...code, ...below].map((part, at) => this.#code(part, kinds?.[at]));
    const texts = [markdown, ...parts];
    const elements = this.#written(texts.join("\n\n").trim());
    if (unknown.length > 0) {
      const names = unknown.join(", ");
      const warning = trans._n("%2 exists nowhere", "%2 exist nowhere", unknown.length, names);
      elements.unshift(make("div", "jllm-action-warning", warning));
    }
    if (isHere && isAsked) elements.push(this.#asking(trans.__("What should be different?")));
    if (fit === "fits") {
      const list = make("ul", "jllm-hidden", ...this.changes.map((line) => make("li", "", line)));
      list.ariaLabel = trans.__("Changes");
      elements.push(list);
    }
    this.#present(text, ...elements);
  }

  #present(summary: string, ...parts: HTMLElement[]): void {
    // A status is read out if it changes after it came to the page.
    requestAnimationFrame(() => setText(this.#status, summary));
    arrange(this.#body, parts);
  }

  /** Draw the model's text in one element, so that a selection in the text stays. */
  #written(text: string, isFinal = true): HTMLElement[] {
    if (!text) return [];
    this.#text ??= createModelText();
    this.#text.update(text, isFinal);
    return [this.#text.element];
  }

  #asking(label: string): HTMLElement {
    const { element, field } = this.#box;
    field.placeholder = label;
    field.ariaLabel = label;
    return element;
  }

  #button(label: string, onClick = () => this.stop(), isMain = false): HTMLButtonElement {
    const button = makeButton(label, onClick, { className: isMain ? "jllm-mod-main" : "" });
    this.#buttons.append(button);
    return button;
  }

  /** Code in Markdown within a fence that is longer than any in it. */
  #code(source: string, kind = this.#cell?.model.type): string {
    const runs = source.match(/`{3,}/g) ?? [];
    const fence = "`".repeat(Math.max(2, ...runs.map(({ length }) => length)) + 1);
    const language = kind === "markdown" ? "markdown" : "python";
    return `${fence}${language}\n${source}\n${fence}`;
  }

  /** Accept one of the changes that are proposed, or refuse it; the others stay proposed. */
  readonly decide: Decide = (at, isAccepted) => {
    const [{ state }, cell] = [this.#task, this.#cell];
    if (at === null) this.stop();
    if (at === null || state.kind !== "proposal" || !cell || this.#fit() !== "fits") return;
    const { source, metadata } = state.proposal;
    const before = cell.model.sharedModel.getSource();
    const chosen = hunks(before, source).filter((_, index) => (index === at) === isAccepted);
    const changed = replaced(before, chosen);
    if (isAccepted) {
      this.#task.allow(changed);
      this.#document.replace(this.#id, { source: changed, metadata });
      this.#show();
    } else this.#task.narrow(changed);
    const buttons = cell.node.querySelectorAll<HTMLElement>(".jllm-hunk button");
    const next = buttons[2 * Math.min(at, buttons.length / 2 - 1)];
    (next ?? this.#firstButton)?.focus();
  };

  #chatButton(): void {
    const { commands } = this.#tools;
    if (!commands.hasCommand(CHAT)) return; // it is switched off
    this.#button(trans.__("Continue in the chat"), () => commands.execute(CHAT, this.#talk()));
  }

  /** Have it done as somebody wishes, or once more, for the cell as it stands. */
  again(wish = ""): void {
    const { id, source } = this.#task.about.cell;
    if (this.#task.state.kind === "asking") {
      this.#task.begin(wish);
      this.#beginning.onSend?.(wish);
    } else this.#task.again(this.#find(id)?.model.sharedModel.getSource() ?? source, wish);
  }

  /** Return the question and the result, for a chat. */
  #talk(): { label: string; text: string } {
    const { action, about, state } = this.#task;
    const answered = state.kind === "answer" && state.answer;
    const proposed = state.kind === "proposal" && state.proposal.source;
    const asked = [action, about.instruction].filter(Boolean).join(": ");
    const head = trans.__("Asked of this cell: %1", asked);
    const text = [head, about.cell.source, trans.__("Answered:"), answered || proposed || ""];
    return { label: trans.__("What was said of the cell"), text: shortened(text.join("\n\n")) };
  }

  /** Show a cell of Markdown as it is read, or in its editor. */
  #turn(isRendered: boolean): void {
    const cell = this.#cell as MarkdownCell | null;
    if (cell?.model.type !== "markdown" || cell.rendered === isRendered) return;
    this.#isTurned = !isRendered;
    cell.rendered = isRendered;
  }

  /** Whoever asked was in the cell or in its editor; they are there again. */
  #goBack(): void {
    if (this.#wasInEditor) this.#cell?.editor?.focus();
    else this.#cell?.node.focus({ preventScroll: true });
  }
}

/** The names of the actions. */
export function titles(): Record<Action, string> {
  return {
    explain: trans.__("Explain"),
    fix: trans.__("Fix"),
    document: trans.__("Document"),
    test: trans.__("Test"),
    review: trans.__("Review"),
    continue: trans.__("Continue"),
    next: trans.__("Continue from here"),
    edit: trans.__("Edit"),
    split: trans.__("Split"),
  };
}

/** The changed lines in words, for screen readers, which do not read the marks in the editor. */
function changedLines(before: string, after: string): string[] {
  return hunks(before, after).flatMap(({ removed, added }) => [
    ...removed.map(({ text }) => trans.__("Removed: %1", withVisibleControls(text))),
    ...(after ? added : []).map(({ text }) => trans.__("Added: %1", withVisibleControls(text))),
  ]);
}

/** Describe a proposal in one line. */
function summary(fit: Fit, before: string, after: string): string {
  const all = hunks(before, after);
  const added = all.flatMap((hunk) => hunk.added).length;
  const removed = all.flatMap((hunk) => hunk.removed).length;
  const texts: Record<Fit, string> = {
    fits: trans._n("%1 line added, %2 removed", "%1 lines added, %2 removed", added, removed),
    below: trans.__("A new cell below"),
    edited: trans.__("The cell was edited meanwhile, so it is left as it is"),
    closed: trans.__("The cell is read-only"),
    locked: trans.__("The cell is locked, so it is not deleted"),
    shut: trans.__("The notebook is read-only"),
    elsewhere: trans.__("The change is for another cell, where something else is open"),
    gone: trans.__("The cell to change is no longer in the notebook"),
  };
  return texts[fit];
}
