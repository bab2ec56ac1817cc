/** What a screen reader says of its own accord. Nothing is said while an answer grows. */

import type { State } from "../kernel/state.js";
import { endOf } from "../talk/facts.js";

/** So much of an answer is read out; the rest is in the list. */
const MOST_SAID = 400;

/** Knows what somebody waits for, and tells once when it is there. */
export class Awaited {
  /** Numbers of turns and ids of requests. */
  readonly #open = new Set<number | string>();

  /** What there is to say now. */
  news({ turns, notices, pending }: State): string[] {
    const said = [];
    for (const [number, turn] of turns) {
      if (turn.state !== "finished") this.#open.add(number);
      else if (this.#open.delete(number)) {
        said.push(`${endOf(turn) || "Answer:"} ${turn.text.slice(0, MOST_SAID)}`);
      }
    }
    for (const { id } of pending) this.#open.add(id);
    for (const { id, is_finished: isFinished, level, markdown } of notices) {
      if (!isFinished) this.#open.add(id);
      else if (this.#open.delete(id)) {
        said.push(`${level === "error" ? "Error:" : "Answer:"} ${markdown.slice(0, MOST_SAID)}`);
      }
    }
    return said;
  }
}
