/** What stands under a cell while something is done with it, and what came of it. */

import { Widget } from "@lumino/widgets";
import type { Action } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { hunks } from "../dom/diff.js";
import { arrange, copyText, createBar, flash, make, setText } from "../dom/elements.js";
import { makeScrollable } from "../dom/scrolling.js";
import { trans } from "../dom/words.js";
import type { MarkdownView } from "../markdown/markdown.js";
import { createModelText } from "../markdown/model_text.js";
import { createBox } from "./box.js";
import { actionButton } from "./button.js";
import { coloured, type Highlight } from "./marks.js";
import type { Fit, Task, TaskState } from "./task.js";

/** What a region can have done, and needs to know. */
export interface Keeper {
  readonly highlight: Highlight;
  /** What was written into the box before, the latest last. */
  readonly instructions: string[];
  /** How the proposal of the task and the cell go together now. */
  fit(): Fit;
  /** Bring what is proposed into the cell, or below it where it does not fit, and run that. */
  accept(isRun: boolean): void;
  again(wish?: string): void;
  /** Go on in the chat. */
  chat(): void;
  /** Go to the cell that the proposal is for. */
  show(): void;
  /** Let go of what is done now. */
  stop(): void;
}

/** Shows a task. It is made anew for each widget that shows the cell. */
export class Region extends Widget {
  readonly #task: Task;
  readonly #keeper: Keeper;
  readonly #said = make("span", "jllm-action-said");
  /** This is rewritten many times a second, so that nobody is to be told of it. */
  readonly #progress = make("span", "jllm-action-progress");
  readonly #buttons = make("span", "jllm-action-buttons");
  readonly #body = make("div", "jllm-action-body");
  readonly #bar = createBar();
  #shown: [TaskState | "working", Fit | null] | null = null;
  #text: MarkdownView | null = null;
  #code: HTMLElement | null = null;

  constructor(task: Task, keeper: Keeper) {
    super();
    this.#task = task;
    this.#keeper = keeper;
    const title = titles()[task.action];
    this.addClass("jllm-action");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", title);
    this.#said.setAttribute("role", "status");
    const name = make("span", "jllm-action-title", title);
    const head = make("div", "jllm-action-head", name, this.#said, this.#progress);
    head.append(this.#bar.element, this.#buttons);
    this.node.append(head, this.#body);
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      keeper.stop();
    });
    this.show();
  }

  /** Show how the task stands now. */
  show(): void {
    const { state } = this.#task;
    const fit = state.kind === "proposal" ? this.#keeper.fit() : null;
    const shown = state.kind === "working" ? "working" : state;
    if (shown !== this.#shown?.[0] || fit !== this.#shown[1]) {
      const isTyping = this.#box !== null && this.#box === document.activeElement;
      this.#shown = [shown, fit];
      this.#clear(state.kind === "answer"); // what is selected in it stays so
      if (state.kind === "asking") this.#ask();
      else if (state.kind === "working") this.#work();
      else if (state.kind === "proposal" && fit) this.#propose(state, fit);
      else if (state.kind === "answer") this.#answer(state.answer);
      else if (state.kind === "failed") this.#fail(state.reason);
      if (isTyping) this.focus();
    }
    if (state.kind === "working") {
      setText(this.#progress, state.progress?.text ?? "");
      this.#bar.show(state.progress?.share ?? null);
      if (state.text && isInWords(this.#task.action)) this.#write(state.text, false);
      else if (state.text) this.#stream(codeIn(state.text));
    }
  }

  /** Go where something is to be typed, if that is so. */
  focus(): void {
    this.#box?.focus();
  }

  override dispose(): void {
    this.#clear(false);
    super.dispose();
  }

  get #box(): HTMLTextAreaElement | null {
    return this.#body.querySelector("textarea");
  }

  #clear(keepsText: boolean): void {
    if (this.#box) this.#task.draft = this.#box.value;
    if (!keepsText) this.#text = null;
    this.#code = null;
    this.#buttons.replaceChildren();
    arrange(this.#body, this.#text ? [this.#text.element] : []);
    this.#bar.show(null);
    setText(this.#progress, "");
    this.node.classList.remove("jllm-mod-failed");
  }

  #ask(): void {
    const label = trans.__("What should be changed in the cell?");
    this.#append(label, (instruction) => this.#task.begin(instruction));
    this.#button(trans.__("Close"));
    setText(this.#said, "");
  }

  #work(): void {
    setText(this.#said, trans.__("The model is at work"));
    this.#button(trans.__("Stop"));
  }

  #propose({ proposal, problem }: TaskState & { kind: "proposal" }, fit: Fit): void {
    const { before, source, unknown_names: unknown, markdown } = proposal;
    const { accept, again, show } = this.#keeper;
    const isHere = fit !== "elsewhere" && fit !== "gone";
    if (fit === "fits") {
      setText(this.#said, problem || numbers(before, source));
      this.#button(trans.__("Accept"), () => accept(false), true);
      this.#button(trans.__("Accept and run"), () => accept(true));
    } else {
      setText(this.#said, problem || reasons()[fit]);
      if (fit === "elsewhere") this.#button(trans.__("Show"), show, true);
      else if (isHere && fit !== "shut") {
        this.#button(trans.__("Insert below"), () => accept(false), fit === "below");
        this.#button(trans.__("Insert below and run"), () => accept(true));
      }
      const copy = this.#button(trans.__("Copy"), async () => {
        flash(copy, (await copyText(source)) ? trans.__("Copied") : trans.__("Not copied"));
      });
      this.#stream(source);
      void coloured(withVisibleControls(source), this.#keeper.highlight).then((parts) =>
        this.#code?.replaceChildren(...parts),
      );
    }
    if (isHere) this.#button(trans.__("Again"), () => again());
    this.#button(trans.__("Continue in the chat"), () => this.#keeper.chat());
    this.#button(fit === "fits" || fit === "below" ? trans.__("Reject") : trans.__("Close"));
    if (unknown.length > 0) {
      const names = unknown.map((name) => make("code", "", name));
      const parts = names.flatMap((name, index) => (index ? [", ", name] : [name]));
      const text = trans._n("exists nowhere", "exist nowhere", unknown.length);
      this.#body.append(make("div", "jllm-action-warning", ...parts, ` ${text}`));
    }
    if (markdown) this.#write(markdown);
    if (isHere) this.#append(trans.__("What should be different?"), again);
  }

  #answer(markdown: string): void {
    setText(this.#said, trans.__("Answered"));
    this.#button(trans.__("Continue in the chat"), () => this.#keeper.chat());
    this.#button(trans.__("Close"));
    this.#write(markdown);
  }

  #fail(reason: string): void {
    this.node.classList.add("jllm-mod-failed");
    setText(this.#said, reason);
    this.#button(trans.__("Again"), () => this.#keeper.again());
    this.#button(trans.__("Close"));
  }

  #append(label: string, onSend: (text: string) => void): void {
    const { draft } = this.#task;
    const box = createBox(label, draft, this.#keeper.instructions, (text) => {
      if (this.#box) this.#box.value = ""; // what is sent is no draft
      onSend(text);
    });
    this.#body.append(box);
  }

  #write(text: string, isFinal = true): void {
    this.#text ??= createModelText();
    const { element } = this.#text;
    if (!element.parentNode) this.#body.append(element);
    this.#text.update(text, isFinal);
  }

  #button(label: string, onClick = () => this.#keeper.stop(), isMain = false): HTMLButtonElement {
    const button = actionButton(label, onClick, isMain);
    this.#buttons.append(button);
    return button;
  }

  /** Show code that may still grow; what is selected in it stays. */
  #stream(source: string): void {
    if (!this.#code) {
      this.#code = make("pre", "jllm-action-code");
      makeScrollable(this.#code, trans.__("Proposed code"));
      this.#body.append(this.#code);
    }
    const { scrollHeight, scrollTop, clientHeight, textContent } = this.#code;
    const text = withVisibleControls(source);
    if (text.startsWith(textContent ?? "")) this.#code.append(text.slice(textContent?.length));
    else this.#code.textContent = text;
    if (scrollHeight - scrollTop - clientHeight < 4) this.#code.scrollTop = scrollHeight;
  }
}

/** What the actions are called on their own. */
function titles(): Record<Action, string> {
  return {
    explain: trans.__("Explain"),
    fix: trans.__("Fix"),
    document: trans.__("Document"),
    test: trans.__("Test"),
    review: trans.__("Review"),
    continue: trans.__("Continue"),
    edit: trans.__("Edit"),
  };
}

function reasons(): Record<Exclude<Fit, "fits">, string> {
  return {
    below: trans.__("A new cell below"),
    edited: trans.__("The cell was edited meanwhile, so it is left as it is"),
    closed: trans.__("The cell is read-only"),
    shut: trans.__("The notebook is read-only"),
    elsewhere: trans.__("The change is for another cell, where something else is open"),
    gone: trans.__("The cell to change is no longer in the notebook"),
  };
}

function isInWords(action: Action): boolean {
  return action === "explain" || action === "review";
}

/** What a model has written so far of code, without the fence around it. */
function codeIn(text: string): string {
  return text.replace(/^\s*`{3,}.*\n/, "").replace(/\n`{3,}\s*$/, "");
}

function numbers(before: string, after: string): string {
  const all = hunks(before, after);
  const added = all.reduce((sum, hunk) => sum + hunk.added.length, 0);
  const removed = all.reduce((sum, hunk) => sum + hunk.removed.length, 0);
  const numAdded = trans._n("%1 line added", "%1 lines added", added);
  return trans.__("%1, %2 removed", numAdded, removed);
}
