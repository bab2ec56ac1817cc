/** What a screen reader says of its own accord. Nothing is said while an answer grows. */

import { withVisibleControls } from "../dom/characters.js";
import { trans } from "../dom/words.js";
import { pendingOf, type State } from "../kernel/state.js";
import { endOf } from "../talk/facts.js";

/** So much of an answer is read out; the rest is in the list. */
const MOST_SAID = 400;

/** Knows what somebody waits for, and tells once when it is there. */
export class Awaited {
  /** Numbers of turns and ids of requests. */
  readonly #open = new Set<number | string>();

  /** What there is to say now. */
  news(state: State): string[] {
    const { turns, notices } = state.chat;
    const said = [];
    for (const turn of Object.values(turns)) {
      const { number } = turn;
      if (turn.state !== "finished") this.#open.add(number);
      else if (this.#open.delete(number)) {
        const text = spoken(turn.text);
        const end = endOf(turn);
        said.push(...(end ? [end, text] : [trans.__("Answer: %1", text)]));
      }
    }
    for (const { id } of pendingOf(state)) this.#open.add(id);
    for (const { id, is_finished: isFinished, level, markdown } of Object.values(notices)) {
      if (!isFinished) this.#open.add(id);
      else if (this.#open.delete(id)) {
        const text = spoken(markdown);
        said.push(level === "error" ? trans.__("Error: %1", text) : trans.__("Answer: %1", text));
      }
    }
    return said;
  }
}

function spoken(text: string): string {
  return withVisibleControls(text.slice(0, MOST_SAID));
}
