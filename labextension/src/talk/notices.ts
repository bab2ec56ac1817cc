/** What commands answered, what failed, and what has not begun yet. */

import type { Choice, Notice, Pending, Proposal } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { createMarkdownView, type MarkdownView } from "../markdown/markdown.js";
import { checkLanded } from "../page/document.js";
import {
  CodeActions,
  landed,
  offerChange,
  type Place,
  prepared,
  replaceCell,
} from "./code_actions.js";
import { ProgressView } from "./progress.js";
import { PromptView } from "./prompt.js";
import type { Surroundings } from "./turns.js";

export class NoticeView {
  readonly element = make("article", "jllm-notice");
  readonly #around: Surroundings;
  readonly #place: Place;
  readonly #prompt = new PromptView();
  readonly #code: CodeActions;
  readonly #markdown: MarkdownView;
  readonly #progress: ProgressView;
  readonly #offer = make("div", "jllm-offer");
  readonly #closeButton: HTMLButtonElement;
  #shown = "";

  constructor(id: string, around: Surroundings) {
    this.#around = around;
    const { store, notebook, say } = around;
    this.#place = { store, notebook, say, origin: { number: null, notice: id } };
    this.#code = new CodeActions(this.#place);
    this.#markdown = createMarkdownView({ onCodeBlock: this.#code.onCodeBlock });
    this.#code.watch(this.#markdown.element);
    this.#progress = new ProgressView(around, id);
    this.#offer.hidden = true;
    this.#closeButton = makeButton("Close", () => this.#close());
    const content = make("div", "", this.#markdown.element, this.#offer, this.#progress.element);
    const body = make("div", "jllm-notice-body", content, this.#closeButton);
    this.element.append(this.#prompt.element, body);
  }

  show(notice: Notice): void {
    const { prompt, markdown, level, is_finished: isFinished, proposal, choices } = notice;
    this.element.setAttribute("aria-label", `Answer to ${prompt.slice(0, 80)}`);
    this.element.classList.toggle("jllm-error", level === "error");
    this.#prompt.show(prompt);
    this.#progress.show({ state: isFinished ? "finished" : "writing", progress: null });
    this.#markdown.update(proposal ? beforeCode(markdown) : markdown, isFinished);
    const key = JSON.stringify([proposal, choices]);
    if (!isFinished || key === this.#shown) return;
    this.#shown = key;
    if (proposal) this.#propose(proposal);
    else if (choices.length > 0) this.#offerNext(choices);
  }

  #offerNext(choices: Choice[]): void {
    const buttons = choices.map(({ label, text }) =>
      makeButton(label, () => this.#around.store.send(text), { isPlain: false }),
    );
    const row = asToolbar(make("div", "jllm-offer-buttons", ...buttons), "What may come next");
    row.update();
    this.#offer.replaceChildren(row.element);
    this.#offer.hidden = false;
  }

  check(): void {
    void this.#code.check(this.#markdown.element);
  }

  #propose(proposal: Proposal, remark?: string): void {
    const { source, before, unknown_names: names } = proposal;
    const accept = () => this.#accept(proposal);
    const offer = offerChange(before ?? "", source, accept, () => this.#close());
    const undefinedNames = names.length > 0 ? `Not defined: ${names.join(", ")}.` : "";
    const warnings = [remark, undefinedNames].filter(Boolean);
    const shown = warnings.map((text) => make("p", "jllm-warning", String(text)));
    offer.lastElementChild?.before(...shown);
    this.#offer.replaceChildren(offer);
    this.#offer.hidden = false;
    this.#closeButton.hidden = true;
  }

  async #accept(proposal: Proposal): Promise<void> {
    const { source, cell_id: cell, before } = proposal;
    const { notebook, say } = this.#place;
    if (!notebook) {
      const text = await landed(this.#place, source, before !== null);
      this.#offer.replaceChildren(make("p", "jllm-note", text));
      this.#closeButton.hidden = false;
      this.#closeButton.focus();
      say(text);
      return;
    }
    const { anchor } = notebook;
    const wanted = await prepared(this.#place, source); // the user may type until it is there
    if (cell === null) checkLanded(notebook.insertBelow([wanted], anchor));
    const changed = cell && replaceCell(notebook, { id: cell, source: before ?? "" }, wanted);
    if (changed) {
      const remark = "The cell has changed meanwhile. This is what would change now.";
      this.#propose({ ...proposal, before: changed.source }, remark);
      this.#offer.querySelector("button")?.focus();
      say(remark);
      return;
    }
    say(cell === null ? "Cell inserted" : "Cell changed");
    this.#close();
  }

  #close(): void {
    this.#around.store.dismiss(this.#place.origin.notice as string);
    this.#around.backToComposer();
  }

  dispose(): void {
    this.#code.dispose();
    this.element.remove();
  }
}

/** What is said before the code of a proposal, which is shown as what would change. */
function beforeCode(markdown: string): string {
  const [before = ""] = markdown.split(/^(?:```|~~~)/m, 1);
  return before;
}

/** A request that is not a turn yet: the model loads, or a command runs. */
export class PendingView {
  readonly element = make("article", "jllm-turn jllm-pending");
  readonly #prompt = new PromptView();
  readonly #progress: ProgressView;

  constructor(id: string, around: Surroundings) {
    this.#progress = new ProgressView(around, id);
    this.element.append(this.#prompt.element, this.#progress.element);
    this.element.setAttribute("aria-busy", "true");
  }

  show({ text, progress }: Pending): void {
    this.element.setAttribute("aria-label", `Sent: ${text.slice(0, 80)}`);
    this.#prompt.show(text);
    this.#progress.show({ state: "waiting", progress });
  }

  dispose(): void {
    this.#progress.dispose();
    this.element.remove();
  }
}
