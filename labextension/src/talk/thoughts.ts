/** What a model thought before its answer: folded, also while it grows. */

import { make, setText } from "../dom/elements.js";
import type { Turn } from "../kernel/state.js";
import { inWords } from "./facts.js";

export class ThoughtsView {
  readonly #summary = make("summary", "");
  readonly #text = make("div", "jllm-thoughts-text");
  readonly element = make("details", "jllm-thoughts", this.#summary, this.#text);

  show(turn: Turn): void {
    this.element.hidden = turn.reasoning === "";
    setText(this.#summary, summaryOf(turn));
    setText(this.#text, turn.reasoning);
  }
}

/** Whether a turn is still being thought about. */
export function isThinking({ state, reasoning, text }: Turn): boolean {
  return state === "writing" && reasoning !== "" && text === "";
}

function summaryOf(turn: Turn): string {
  if (isThinking(turn)) return "Thoughts so far";
  const count = turn.usage?.reasoning_tokens ?? 0;
  return count > 0
    ? `Thought for ${inWords(count)} ${count === 1 ? "token" : "tokens"}`
    : "Thought";
}
