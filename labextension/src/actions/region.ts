/** What stands under a cell while something is done with it, and what came of it. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import { Recall } from "../compose/recall.js";
import type { Action, MessageOf } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { hunks } from "../dom/diff.js";
import { arrange, copyText, createBar, flash, make, setText } from "../dom/elements.js";
import { makeScrollable } from "../dom/scrolling.js";
import type { MarkdownView } from "../markdown/markdown.js";
import { createModelText } from "../markdown/model_text.js";
import { coloured, type Highlight } from "./marks.js";
import type { Fit, Task } from "./task.js";

/** What a region can have done, and needs to know. */
export interface Keeper {
  readonly trans: TranslationBundle;
  readonly highlight: Highlight;
  /** How the proposal of the task and the cell go together now. */
  fit(): Fit;
  canInsert(): boolean;
  accept(): void;
  insertBelow(): void;
  /** Go to the cell that the proposal is for; `number` is the one beside it. */
  show(): void;
  number(): number | string;
  /** Let go of the task, whatever has become of it. */
  end(): void;
  /** What was written into the box before, the latest last. */
  readonly instructions: string[];
}

/** Shows a task. It is made anew for each widget that shows the cell. */
export class Region extends Widget {
  readonly #task: Task;
  readonly #keeper: Keeper;
  readonly #said = make("span", "jllm-action-said");
  readonly #buttons = make("span", "jllm-action-buttons");
  readonly #body = make("div", "jllm-action-body");
  readonly #bar = createBar();
  #shown = "";
  #text: MarkdownView | null = null;

  constructor(task: Task, keeper: Keeper) {
    super();
    this.#task = task;
    this.#keeper = keeper;
    const { trans } = keeper;
    const title = titles(trans)[task.action];
    this.addClass("jllm-action");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", title);
    this.#said.setAttribute("role", "status");
    const name = make("span", "jllm-action-title", title);
    const head = make("div", "jllm-action-head", name, this.#said, this.#bar.element);
    head.append(this.#buttons);
    this.node.append(head, this.#body);
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      keeper.end();
    });
    this.show();
  }

  /** Show how the task stands now. */
  show(): void {
    const { state } = this.#task;
    const fit = state.kind === "proposal" ? this.#keeper.fit() : "";
    if (`${state.kind} ${fit}` !== this.#shown) {
      this.#shown = `${state.kind} ${fit}`;
      this.#clear(state.kind === "answer"); // what is selected in it stays so
      if (state.kind === "asking") this.#ask();
      else if (state.kind === "working") this.#button(this.#keeper.trans.__("Stop"));
      else if (state.kind === "proposal") this.#propose(state.proposal, this.#keeper.fit());
      else if (state.kind === "answer") this.#answer(state.answer);
      else if (state.kind === "failed") this.#fail(state.reason);
    }
    if (state.kind === "working") {
      setText(this.#said, state.progress?.text ?? this.#keeper.trans.__("Waiting"));
      this.#bar.show(state.progress?.share ?? null);
      if (state.text && isInWords(this.#task.action)) this.#write(state.text, false);
    }
  }

  /** Go where something is to be typed, if that is so. */
  focus(): void {
    this.#body.querySelector("textarea")?.focus();
  }

  override dispose(): void {
    this.#task.draft = this.#body.querySelector("textarea")?.value ?? "";
    super.dispose();
  }

  #clear(keepsText: boolean): void {
    if (!keepsText) this.#text = null;
    this.#buttons.replaceChildren();
    arrange(this.#body, this.#text ? [this.#text.element] : []);
    this.#bar.show(null);
    setText(this.#said, "");
    this.node.classList.remove("jllm-mod-failed");
  }

  #ask(): void {
    const { trans, instructions } = this.#keeper;
    const box = make("textarea", "jllm-action-box");
    box.rows = 2;
    box.placeholder = trans.__("What should be changed?");
    box.setAttribute("aria-label", trans.__("What should be changed in the cell"));
    // JupyterLab would take Shift+Enter for “run”, and Ctrl+Z for its own.
    box.dataset.lmSuppressShortcuts = "true";
    const send = () => {
      const instruction = box.value.trim();
      if (!instruction) return box.focus();
      instructions.push(instruction);
      this.#task.begin(instruction);
    };
    box.value = this.#task.draft;
    const recall = new Recall(() => [...instructions]);
    box.addEventListener("input", () => recall.reset());
    box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      const other = recall.textFor(event.key, box);
      if (event.key === "Enter" && !event.shiftKey) send();
      else if (other !== null) box.value = other;
      else return;
      event.preventDefault();
    });
    this.#body.append(box);
    this.#button(trans.__("Send"), send, true);
    this.#button(trans.__("Close"));
  }

  #propose(proposal: MessageOf<"proposal">, fit: Fit): void {
    const { trans } = this.#keeper;
    const { before, source, unknown_names: unknown, markdown } = proposal;
    const number = this.#keeper.number();
    if (fit === "fits") {
      setText(this.#said, numbers(before, source, trans));
      this.#button(trans.__("Accept"), () => this.#keeper.accept(), true);
      this.#button(trans.__("Reject"));
    } else {
      const reasons: Record<Exclude<Fit, "fits">, string> = {
        below: trans.__("A new cell below"),
        edited: trans.__("The cell was edited meanwhile, so it is left as it is"),
        closed: trans.__("The cell is read-only"),
        elsewhere: trans.__("The change is for cell [%1], where something else is open", number),
        gone: trans.__("The cell to change is no longer in the notebook"),
      };
      setText(this.#said, reasons[fit]);
      if (fit === "elsewhere") this.#button(trans.__("Show"), () => this.#keeper.show(), true);
      else if (fit !== "gone" && this.#keeper.canInsert()) {
        const isMain = fit === "below";
        this.#button(trans.__("Insert below"), () => this.#keeper.insertBelow(), isMain);
      }
      this.#copyButton(source);
      this.#button(fit === "below" ? trans.__("Reject") : trans.__("Close"));
      this.#body.append(this.#code(withVisibleControls(source)));
    }
    if (unknown.length > 0) {
      const names = unknown.map((name) => make("code", "", name));
      const parts = names.flatMap((name, index) => (index ? [", ", name] : [name]));
      const text = trans._n("exists nowhere", "exist nowhere", unknown.length);
      this.#body.append(make("div", "jllm-action-warning", ...parts, ` ${text}`));
    }
    if (markdown) this.#write(markdown);
  }

  #answer({ markdown }: MessageOf<"answer">): void {
    this.#button(this.#keeper.trans.__("Close"));
    this.#write(markdown);
  }

  #fail(reason: string): void {
    this.node.classList.add("jllm-mod-failed");
    setText(this.#said, reason);
    this.#button(this.#keeper.trans.__("Close"));
  }

  #write(text: string, isFinal = true): void {
    this.#text ??= createModelText();
    const { element } = this.#text;
    if (!element.parentNode) this.#body.append(element);
    this.#text.update(text, isFinal);
  }

  #button(label: string, onClick = () => this.#keeper.end(), isMain = false): HTMLButtonElement {
    const kind = isMain ? "jllm-action-button jllm-mod-main" : "jllm-action-button";
    const button = make("button", kind, label);
    button.type = "button";
    button.addEventListener("click", onClick);
    this.#buttons.append(button);
    return button;
  }

  #copyButton(source: string): void {
    const { trans } = this.#keeper;
    const button = this.#button(trans.__("Copy"), async () => {
      flash(button, (await copyText(source)) ? trans.__("Copied") : trans.__("Not copied"));
    });
  }

  #code(source: string): HTMLElement {
    const element = make("pre", "jllm-action-code", source);
    makeScrollable(element, this.#keeper.trans.__("Proposed code"));
    void coloured(source, this.#keeper.highlight).then((parts) =>
      element.replaceChildren(...parts),
    );
    return element;
  }
}

/** What the actions are called on their own. */
function titles(trans: TranslationBundle): Record<Action, string> {
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

function isInWords(action: Action): boolean {
  return action === "explain" || action === "review";
}

function numbers(before: string, after: string, trans: TranslationBundle): string {
  const all = hunks(before, after);
  const added = all.reduce((sum, hunk) => sum + hunk.added.length, 0);
  const removed = all.reduce((sum, hunk) => sum + hunk.removed.length, 0);
  const numAdded = trans._n("%1 line added", "%1 lines added", added);
  return trans.__("%1, %2 removed", numAdded, removed);
}
