/** The buttons below a turn. */

import type { TurnData } from "../connection/messages.js";
import { copyButton, make, makeButton, setText } from "../dom/elements.js";
import { asToolbar } from "../dom/toolbar.js";
import { trans } from "../dom/words.js";
import { createAnswerAgain } from "./answer_again.js";
import type { Surroundings } from "./code_actions.js";

export class TurnActions {
  readonly element = make("div", "jllm-turn-actions");
  readonly #around: Surroundings;
  readonly #toolbar = asToolbar(this.element, trans.__("Turn"));
  #turn: TurnData | null = null;
  readonly #earlier = this.#stepButton("‹", "earlier", trans.__("Earlier answer"));
  readonly #later = this.#stepButton("›", "later", trans.__("Later answer"));
  readonly #place = make("span", { className: "jllm-branch-place", role: "img" });
  readonly #branches = make("span", "jllm-branches", this.#earlier, this.#place, this.#later);
  readonly #edit: HTMLButtonElement;
  readonly #insertAll: HTMLButtonElement;
  readonly #whole = make("span", "jllm-finished-actions");

  constructor(
    number: number,
    around: Surroundings,
    { edit, insertAll }: { edit: () => void; insertAll: () => void },
  ) {
    this.#around = around;
    const { store, say } = around;
    this.#edit = makeButton(trans.__("Edit"), edit, { icon: "edit" });
    const title = trans.__("Each piece of code in a cell of its own, below the active cell");
    this.#insertAll = makeButton(trans.__("Insert all"), insertAll, { title, icon: "insert" });
    const probabilities = () =>
      void store.send(`/tokens ${store.state.chat.path.indexOf(number) + 1}`);
    this.#whole.append(
      copyButton(() => unfenced(this.#turn?.text ?? ""), say),
      this.#insertAll,
      makeButton(trans.__("Probabilities"), probabilities, { icon: "probabilities" }),
      createAnswerAgain((sampling) => store.regenerate(number, sampling)),
      this.#edit,
      this.#deleteButton(number),
    );
    this.element.append(this.#branches, this.#whole);
  }

  show(turn: TurnData, { canInsertAll }: { canInsertAll: boolean }): void {
    this.#turn = turn;
    const [at, count] = [turn.siblings.indexOf(turn.number) + 1, turn.siblings.length];
    this.#branches.hidden = count < 2;
    setText(this.#place, `${at}/${count}`);
    this.#place.ariaLabel = trans.__("Answer %1 of %2", at, count);
    // Not `disabled`, which would throw away the focus of who has stepped to the end.
    this.#earlier.ariaDisabled = String(at <= 1);
    this.#later.ariaDisabled = String(at >= count);
    this.#whole.hidden = turn.state !== "finished";
    this.#insertAll.hidden = !canInsertAll;
    this.#toolbar.update();
  }

  focusEdit(): void {
    this.#edit.focus();
  }

  #stepButton(sign: string, step: "earlier" | "later", ariaLabel: string): HTMLButtonElement {
    const choose = () => {
      const { siblings = [], number = 0 } = this.#turn ?? {};
      const next = siblings[siblings.indexOf(number) + (step === "earlier" ? -1 : 1)];
      if (next !== undefined) this.#around.store.choose(next);
    };
    return makeButton(sign, choose, { className: "jllm-branch-button", ariaLabel });
  }

  #deleteButton(number: number): HTMLElement {
    const { store, backToComposer } = this.#around;
    const ask = (isAsking: boolean) => {
      button.hidden = isAsking;
      question.hidden = !isAsking;
      this.#toolbar.update();
      (isAsking ? no : button).focus();
    };
    const button = makeButton(trans.__("Delete"), () => ask(true), { icon: "delete" });
    const remove = () => {
      store.remove(number);
      backToComposer();
    };
    const yes = makeButton(trans.__("Yes"), remove, { ariaLabel: trans.__("Yes, delete") });
    const no = makeButton(trans.__("No"), () => ask(false), { ariaLabel: trans.__("No, keep") });
    const question = make("span", "jllm-question", trans.__("Delete?"), yes, no);
    question.hidden = true;
    question.addEventListener("keydown", (event) => {
      if (event.key === "Escape") ask(false);
    });
    return make("span", "jllm-delete", button, question);
  }
}

/** What stands in a fence, where that is all there is. */
function unfenced(text: string): string {
  return text.replace(/^(`{3,})(?!`).*\n((?:(?!\1).*\n)*?(?!\1).*)\n\1\s*$/, "$2");
}
