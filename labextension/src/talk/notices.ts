/** What commands answered, what failed, and what has not begun yet. */

import type { Notice, Pending, Proposal } from "../connection/messages.js";
import { arrange, make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { trans } from "../dom/words.js";
import { createMarkdownView } from "../markdown/markdown.js";
import {
  CodeActions,
  CodeBlockActions,
  messageOf,
  type Place,
  type Surroundings,
  showInCell,
} from "./code_actions.js";
import { ProgressView } from "./progress.js";
import { PromptView } from "./prompt.js";
import { tokensView } from "./tokens.js";

export class NoticeView {
  readonly element = make("article", "jllm-notice");
  readonly #around: Surroundings;
  readonly #id: string;
  readonly #place: Place;
  readonly #prompt = new PromptView();
  readonly #code: CodeActions;
  readonly #markdown = createMarkdownView((block) => this.#code.add(block));
  readonly #progress: ProgressView;
  readonly #next = make("div", "jllm-next");
  readonly #closeButton = makeButton(trans.__("Close"), () => this.#close(), { icon: "close" });
  #shown = "";

  constructor(id: string, around: Surroundings) {
    this.#around = around;
    this.#id = id;
    this.#place = { ...around, origin: { number: null, notice: id } };
    this.#code = new CodeActions(this.#place, this.#markdown.element);
    this.#progress = new ProgressView(around, id);
    const content = make("div", "", this.#markdown.element, this.#next, this.#progress.element);
    const body = make("div", "jllm-notice-body", content, this.#closeButton);
    this.element.append(this.#prompt.element, body);
  }

  show(notice: Notice): void {
    const { prompt, markdown, level, is_finished: isFinished } = notice;
    const { proposals, choices, tokens } = notice;
    this.element.ariaLabel = trans.__("Answer to %1", prompt.slice(0, 80));
    this.element.classList.toggle("jllm-error", level === "error");
    this.element.ariaBusy = String(!isFinished);
    this.#prompt.show(prompt);
    this.#progress.show({ state: isFinished ? "finished" : "writing" });
    this.#markdown.update(markdown, isFinished);
    const key = JSON.stringify([proposals, choices]);
    if (!isFinished || key === this.#shown) return;
    this.#shown = key;
    const [first] = proposals;
    if (typeof first?.before === "string") this.#propose(first, proposals, markdown);
    else if (tokens.length > 0) this.#next.replaceChildren(tokensView(tokens));
    else if (choices.length > 0) {
      const { store } = this.#around;
      const buttons = choices.map(({ label, text }) =>
        makeButton(label, () => store.send(text), { isPlain: false }),
      );
      const row = make("div", "jllm-row", ...buttons);
      asToolbar(row, trans.__("What may come next")).update();
      this.#next.replaceChildren(row);
    }
  }

  look(isSeen: boolean): void {
    if (isSeen) void this.#code.check();
  }

  /** Show changes at their cells, at once if this page sent the prompt; without a notebook, code. */
  #propose(first: Proposal, proposals: readonly Proposal[], markdown: string): void {
    const { notebook, store } = this.#around;
    if (notebook) {
      const show = async () => {
        let text = "";
        for (const change of [...proposals].reverse()) {
          text = await showInCell(this.#place, change, markdown).catch(messageOf);
        }
        arrange(this.#next, [button, make("p", "jllm-note", text)]); // the button keeps the focus
        this.#place.say(text);
      };
      const button = makeButton(trans.__("Show at the cell"), show, { isPlain: false });
      this.#next.replaceChildren(button);
      const isTyping = document.activeElement?.closest(".cm-editor"); // stay at that cell
      if (store.showsFirst(this.#id) && !isTyping) void show();
    } else if (first.source !== first.before) {
      const { source, unknown_names } = first;
      const code = new CodeBlockActions(this.#place, this.#next, source, "python", true);
      code.mark({ unknown_names, missing_modules: [], note: "" });
      const row = make("div", "jllm-row", ...code.buttons);
      asToolbar(row, trans.__("Code")).update();
      this.#next.replaceChildren(...code.below, row);
    }
  }

  #close(): void {
    this.#around.store.remove(this.#id);
    this.#around.backToComposer();
  }

  dispose(): void {
    this.#code.dispose();
    this.#progress.dispose();
    this.element.remove();
  }
}

/** A request that is not a turn yet: the model loads, or a command runs. */
export class PendingView {
  readonly element = make("article", { className: "jllm-turn jllm-pending", ariaBusy: "true" });
  readonly #prompt = new PromptView();
  readonly #progress: ProgressView;

  constructor(id: string, around: Surroundings) {
    this.#progress = new ProgressView(around, id);
    this.element.append(this.#prompt.element, this.#progress.element);
  }

  show(pending: Pending): void {
    const { text } = pending;
    this.element.ariaLabel = trans.__("Sent: %1", text.slice(0, 80));
    this.#prompt.show(text);
    this.#progress.show({ ...pending, state: "waiting" });
  }

  look(): void {} // there is nothing to look after

  dispose(): void {
    this.#progress.dispose();
    this.element.remove();
  }
}
