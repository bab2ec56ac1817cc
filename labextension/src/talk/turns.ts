/** A turn on the page: the prompt, the answer while it grows and afterwards, and what to do with it. */

import type { TurnData } from "../connection/messages.js";
import { make, setText } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { createMarkdownView } from "../markdown/markdown.js";
import { CodeActions, messageOf, type Surroundings } from "./code_actions.js";
import { endOf, FactsView, isThinking, ThoughtsView } from "./facts.js";
import { ProgressView } from "./progress.js";
import { PromptView } from "./prompt.js";
import { TurnActions } from "./turn_actions.js";

export class TurnView {
  readonly element = make("article", "jllm-turn");
  /** Whether somebody can see it. */
  #isSeen = false;
  readonly #around: Surroundings;
  readonly #prompt = new PromptView();
  readonly #thoughts = new ThoughtsView();
  readonly #progress: ProgressView;
  readonly #code: CodeActions;
  readonly #markdown = createMarkdownView((block) => this.#code.add(block));
  readonly #end = make("p", "jllm-end");
  readonly #problem = make("p", { className: "jllm-problem", role: "alert" });
  readonly #actions: TurnActions;
  readonly #facts = new FactsView();
  readonly #foot = make("div", "jllm-turn-foot");
  #turn: TurnData | null = null;

  constructor(number: number, around: Surroundings) {
    this.#around = around;
    this.element.dataset.number = String(number); // by which others find it
    const place = { ...around, origin: { number, notice: null } };
    this.#code = new CodeActions(place, this.#markdown.element);
    this.#progress = new ProgressView(around, number);
    this.#actions = new TurnActions(number, around, {
      edit: () => this.#edit(),
      insertAll: () => this.#insertAll(),
    });
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

  show(turn: TurnData): void {
    // With each new turn the whole list is shown: all but that one is there already.
    if (turn === this.#turn) return;
    const isFinished = turn.state === "finished";
    this.#turn = turn;
    this.element.ariaLabel = trans.__("Turn: %1", turn.prompt.slice(0, 80));
    this.element.ariaBusy = String(!isFinished);
    this.#prompt.show(turn.prompt, turn.attachments, turn.by);
    this.#thoughts.show(turn);
    this.#markdown.update(turn.text, isFinished);
    this.#progress.show(isThinking(turn) ? { ...turn, state: "thinking" } : turn);
    const end = endOf(turn);
    this.#end.hidden = end === "";
    setText(this.#end, end);
    // A look at all the code there is, so not with every word.
    const canInsertAll = isFinished && this.#around.notebook !== null && this.#code.numPython > 1;
    this.#actions.show(turn, { canInsertAll });
    this.#facts.show(turn);
    this.#foot.hidden = !isFinished && turn.siblings.length < 2;
    this.look(this.#isSeen);
  }

  /** Look after the code in it while somebody can see it. The last answer's is tried. */
  look(isSeen: boolean): void {
    this.#isSeen = isSeen;
    const { number, state } = this.#turn ?? {};
    if (!isSeen || state !== "finished") return;
    void this.#code.check();
    if (this.#around.store.state.chat.path.at(-1) === number) void this.#code.check(true);
  }

  #edit(): void {
    const { send, backToComposer } = this.#around;
    this.#prompt.edit(this.#turn?.prompt ?? "", (text) => {
      if (text !== null && this.#turn) {
        send(text, { after: this.#turn.parent, like: this.#turn.number });
      }
      if (text !== null) backToComposer();
      else this.#actions.focusEdit();
    });
  }

  async #insertAll(): Promise<void> {
    this.#problem.textContent = "";
    await this.#code.insertAll().catch((error: unknown) => {
      this.#problem.textContent = messageOf(error);
    });
  }

  dispose(): void {
    this.#code.dispose();
    this.#progress.dispose();
    this.element.remove();
  }
}
