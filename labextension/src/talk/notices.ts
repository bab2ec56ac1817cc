/** What commands answered, what failed, and what has not begun yet. */

import type { Notice, Pending, Proposal } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { trans } from "../dom/words.js";
import { createMarkdownView } from "../markdown/markdown.js";
import {
  CodeActions,
  inserted,
  landed,
  notDefined,
  offerChange,
  type Place,
  prepared,
  replaceCell,
  type Surroundings,
  worded,
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
  readonly #closeButton = makeButton(trans.__("Close"), () => this.#close());
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
    const { proposal, choices, tokens } = notice;
    this.element.setAttribute("aria-label", trans.__("Answer to %1", prompt.slice(0, 80)));
    this.element.classList.toggle("jllm-error", level === "error");
    this.element.setAttribute("aria-busy", String(!isFinished));
    this.#prompt.show(prompt);
    this.#progress.show({ state: isFinished ? "finished" : "writing", progress: null });
    this.#markdown.update(proposal ? beforeCode(markdown) : markdown, isFinished);
    const key = JSON.stringify([proposal, choices]);
    if (!isFinished || key === this.#shown) return;
    this.#shown = key;
    this.#closeButton.hidden = proposal !== null;
    if (proposal) this.#propose(proposal);
    else if (tokens.length > 0) this.#next.replaceChildren(tokensView(tokens));
    else if (choices.length > 0) {
      const { store } = this.#around;
      const buttons = choices.map(({ label, text }) =>
        makeButton(label, () => store.send(text), { isPlain: false }),
      );
      const row = make("div", "jllm-offer-buttons", ...buttons);
      asToolbar(row, trans.__("What may come next")).update();
      this.#next.replaceChildren(row);
    }
  }

  look(isSeen: boolean): void {
    if (isSeen) void this.#code.check();
  }

  #propose(proposal: Proposal): void {
    const { source, before, unknown_names: names } = proposal;
    const warning = make("p", "jllm-warning", ...worded(notDefined(names)));
    warning.hidden = names.length === 0;
    const accept = (now: string) => this.#accept(proposal, now);
    const title = before === null ? trans.__("Insert this cell?") : trans.__("Replace the cell?");
    const offer = offerChange(title, before ?? "", source, accept, () => this.#close());
    this.#next.replaceChildren(warning, offer);
  }

  /** Bring it into its cell, if that reads as `before`, or return what it is now. */
  async #accept({ source, cell, before: old }: Proposal, before: string) {
    const { notebook, say } = this.#place;
    if (!notebook) {
      const text = await landed(this.#place, source, old !== null);
      this.#next.replaceChildren(make("p", "jllm-note", text));
      this.#closeButton.hidden = false;
      this.#closeButton.focus();
      say(text);
      return null;
    }
    if (cell === null) await inserted(this.#place, [source]);
    else {
      const wanted = await prepared(this.#place, source); // the user may type until it is there
      const changed = replaceCell(notebook, cell, before, wanted);
      if (changed) return changed;
      say(wanted.note ? trans.__("Inserted; %1.", wanted.note) : trans.__("Cell changed"));
    }
    this.#close();
    return null;
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
    this.element.setAttribute("aria-label", trans.__("Sent: %1", text.slice(0, 80)));
    this.#prompt.show(text);
    this.#progress.show({ state: "waiting", progress });
  }

  look(): void {} // there is nothing to look after

  dispose(): void {
    this.#progress.dispose();
    this.element.remove();
  }
}
