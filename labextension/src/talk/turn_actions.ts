/** The buttons below a turn. */

import { copyText, flash, make, makeButton, setText } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import type { Turn } from "../kernel/state.js";
import { createAnswerAgain, type Sampling } from "./answer_again.js";

interface TurnCommands {
  /** What Copy copies. */
  text: () => string;
  edit: () => void;
  answerAgain: (sampling: Sampling) => void;
  remove: () => void;
  choose: (number: number, step: "earlier" | "later") => void;
  insertAll: () => Promise<void>;
  say: (text: string) => void;
}

export class TurnActions {
  readonly element = make("div", "jllm-turn-actions");
  readonly #commands: TurnCommands;
  readonly #toolbar = asToolbar(this.element, "Turn");
  #turn: Turn | null = null;
  readonly #earlier = makeButton("‹", () => this.#step("earlier"), {
    className: "jllm-branch-button",
  });
  readonly #later = makeButton("›", () => this.#step("later"), { className: "jllm-branch-button" });
  readonly #place = make("span", "jllm-branch-place");
  readonly #branches = make("span", "jllm-branches", this.#earlier, this.#place, this.#later);
  readonly #edit: HTMLButtonElement;
  readonly #insertAll: HTMLButtonElement;
  readonly #whole = make("span", "jllm-finished-actions");

  constructor(commands: TurnCommands) {
    this.#commands = commands;
    this.#earlier.setAttribute("aria-label", "Earlier answer");
    this.#later.setAttribute("aria-label", "Later answer");
    const copy = makeButton("Copy", async () => {
      const isCopied = await copyText(commands.text());
      flash(copy, isCopied ? "Copied" : "Not copied");
      commands.say(isCopied ? "Copied" : "Not copied");
    });
    this.#edit = makeButton("Edit", () => commands.edit());
    this.#insertAll = makeButton("Insert all", () => commands.insertAll());
    this.#insertAll.title = "Each piece of code in a cell of its own, below the active cell";
    this.#whole.append(copy, this.#insertAll, createAnswerAgain(commands.answerAgain));
    this.#whole.append(this.#edit, this.#deleteButton());
    this.element.append(this.#branches, this.#whole);
  }

  show(turn: Turn, { canInsertAll }: { canInsertAll: boolean }): void {
    this.#turn = turn;
    const at = turn.siblings.indexOf(turn.number);
    this.#branches.hidden = turn.siblings.length < 2;
    setText(this.#place, `${at + 1}/${turn.siblings.length}`);
    this.#place.setAttribute("aria-label", `Answer ${at + 1} of ${turn.siblings.length}`);
    this.#place.setAttribute("role", "img");
    // Not `disabled`, which would throw away the focus of who has stepped to the end.
    this.#earlier.setAttribute("aria-disabled", String(at <= 0));
    this.#later.setAttribute("aria-disabled", String(at >= turn.siblings.length - 1));
    this.#whole.hidden = turn.state !== "finished";
    this.#insertAll.hidden = !canInsertAll;
    this.#toolbar.update();
  }

  /** Take the focus to a button that steps through the branches. */
  focusStep(step: "earlier" | "later"): void {
    (step === "earlier" ? this.#earlier : this.#later).focus();
  }

  focusEdit(): void {
    this.#edit.focus();
  }

  #step(step: "earlier" | "later"): void {
    const { siblings = [], number = 0 } = this.#turn ?? {};
    const next = siblings[siblings.indexOf(number) + (step === "earlier" ? -1 : 1)];
    if (next !== undefined) this.#commands.choose(next, step);
  }

  #deleteButton(): HTMLElement {
    const ask = (isAsking: boolean) => {
      button.hidden = isAsking;
      question.hidden = !isAsking;
      this.#toolbar.update();
      (isAsking ? no : button).focus();
    };
    const button = makeButton("Delete", () => ask(true));
    const yes = makeButton("Yes", () => this.#commands.remove());
    const no = makeButton("No", () => ask(false));
    yes.setAttribute("aria-label", "Yes, delete");
    no.setAttribute("aria-label", "No, keep");
    const question = make("span", "jllm-question", "Delete?", yes, no);
    question.hidden = true;
    question.addEventListener("keydown", (event) => {
      if (event.key === "Escape") ask(false);
    });
    return make("span", "jllm-delete", button, question);
  }
}
