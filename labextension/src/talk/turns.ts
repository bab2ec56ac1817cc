/** A turn on the page: the prompt, the answer while it grows and afterwards, and what to do with it. */

import { make, setText } from "../dom/elements.js";
import type { Turn } from "../kernel/state.js";
import type { SendOptions, Store } from "../kernel/store.js";
import { createMarkdownView, type MarkdownView } from "../markdown/markdown.js";
import type { Notebook } from "../page/cells.js";
import { CodeActions, messageOf } from "./code_actions.js";
import { endOf, FactsView } from "./facts.js";
import { ProgressView } from "./progress.js";
import { PromptView } from "./prompt.js";
import { isThinking, ThoughtsView } from "./thoughts.js";
import { TurnActions } from "./turn_actions.js";

/** What the parts of a panel share. */
export interface Surroundings {
  store: Store;
  notebook: Notebook | null;
  say: (text: string) => void;
  backToComposer: () => void;
  send: (text: string, options: SendOptions) => void;
  /** Another branch at the place of a turn was asked for. */
  onStep: (number: number, step: "earlier" | "later") => void;
}

export class TurnView {
  readonly element = make("article", "jllm-turn");
  readonly #around: Surroundings;
  readonly #prompt = new PromptView();
  readonly #thoughts = new ThoughtsView();
  readonly #progress: ProgressView;
  readonly #markdown: MarkdownView;
  readonly #code: CodeActions;
  readonly #end = make("p", "jllm-end");
  readonly #problem = make("p", "jllm-problem");
  readonly #actions: TurnActions;
  readonly #facts = new FactsView();
  readonly #foot = make("div", "jllm-turn-foot");
  #turn: Turn | null = null;

  constructor(number: number, around: Surroundings) {
    this.#around = around;
    this.element.dataset.number = String(number); // by which others find it
    const { store, notebook, say } = around;
    this.#code = new CodeActions({ store, notebook, say, origin: { number, notice: null } });
    this.#markdown = createMarkdownView({ onCodeBlock: this.#code.onCodeBlock });
    this.#progress = new ProgressView(around, number);
    this.#actions = new TurnActions({
      text: () => this.#turn?.text ?? "",
      edit: () => this.#edit(),
      answerAgain: (sampling) => store.regenerate(number, sampling),
      remove: () => {
        store.remove(number);
        around.backToComposer();
      },
      choose: (sibling, step) => {
        around.onStep(number, step);
        store.choose(sibling);
      },
      insertAll: () => this.#insertAll(),
      say,
    });
    this.#code.watch(this.#markdown.element);
    this.#problem.setAttribute("role", "alert");
    this.#foot.append(this.#actions.element, this.#facts.element);
    this.element.append(
      this.#prompt.element,
      this.#thoughts.element,
      this.#markdown.element,
      this.#progress.element,
      this.#end,
      this.#foot,
      this.#problem,
    );
  }

  show(turn: Turn): void {
    // With each new turn the whole list is shown: all but that one is there already.
    if (turn === this.#turn) return;
    const isFinished = turn.state === "finished";
    this.#turn = turn;
    this.element.setAttribute("aria-label", `Turn: ${turn.prompt.slice(0, 80)}`);
    this.element.setAttribute("aria-busy", String(!isFinished));
    this.#prompt.show(turn.prompt, turn.attachments);
    this.#thoughts.show(turn);
    this.#markdown.update(turn.text, isFinished);
    this.#progress.show(isThinking(turn) ? { ...turn, state: "thinking" } : turn);
    const end = endOf(turn);
    this.#end.hidden = end === "";
    setText(this.#end, end);
    // A look at all the code there is, so not with every word.
    const numPython = isFinished ? this.#code.numPython(this.#markdown.element) : 0;
    const canInsertAll = this.#around.notebook !== null && numPython > 1;
    this.#actions.show(turn, { canInsertAll });
    this.#facts.show(turn);
    this.#foot.hidden = !isFinished && turn.siblings.length < 2;
  }

  /** Look after the code in it, now that somebody can see it. The last answer's is tried. */
  check(): void {
    const { number, state } = this.#turn ?? {};
    if (state !== "finished") return;
    void this.#code.check(this.#markdown.element);
    const isLast = this.#around.store.state.path.at(-1) === number;
    if (isLast) void this.#code.check(this.#markdown.element, true);
  }

  focusStep(step: "earlier" | "later"): void {
    this.#actions.focusStep(step);
  }

  #edit(): void {
    const { send, backToComposer } = this.#around;
    this.#prompt.edit((text) => {
      if (text !== null && this.#turn) send(text, { after: this.#turn.parent });
      if (text !== null) backToComposer();
      else this.#actions.focusEdit();
    });
  }

  async #insertAll(): Promise<void> {
    try {
      this.#problem.textContent = "";
      await this.#code.insertAll(this.#markdown.element);
    } catch (error) {
      this.#problem.textContent = messageOf(error);
    }
  }

  dispose(): void {
    this.#code.dispose();
    this.#progress.dispose();
    this.element.remove();
  }
}
