/** What a model thought before its answer: folded, also while it grows. */

import { make, setText } from "../dom/elements.js";
import { inWords } from "./facts.js";

/** @import { Turn } from "../kernel/state.js" */

export class ThoughtsView {
  #summary = make("summary", "");
  #text = make("div", "jllm-thoughts-text");
  element = make("details", "jllm-thoughts", this.#summary, this.#text);

  /**
   * @param {Turn} turn
   */
  show(turn) {
    this.element.hidden = turn.reasoning === "";
    setText(this.#summary, summaryOf(turn));
    setText(this.#text, turn.reasoning);
  }
}

/**
 * Whether a turn is still being thought about.
 *
 * @param {Turn} turn
 * @returns {boolean}
 */
export function isThinking({ state, reasoning, text }) {
  return state === "writing" && reasoning !== "" && text === "";
}

/**
 * @param {Turn} turn
 * @returns {string}
 */
function summaryOf(turn) {
  if (isThinking(turn)) return "Thoughts so far";
  const count = turn.usage?.reasoning_tokens ?? 0;
  return count > 0
    ? `Thought for ${inWords(count)} ${count === 1 ? "token" : "tokens"}`
    : "Thought";
}
