/** How an answer came about: the model, its settings, what it was told, and what it cost. */

import { make } from "../dom/elements.js";
import type { Turn } from "../kernel/state.js";

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, useGrouping: false });

const ENDS: Record<string, string> = {
  length: "Cut off: it reached the most tokens an answer may have.",
  cancelled: "Stopped.",
  error: "Broken off by an error.",
  repetition: "Stopped: it had begun to repeat itself.",
};

const THOUGHT_TOO_LONG =
  "Cut off while it still thought: it reached the most tokens an answer may have.";

/** Why an answer ended before its end, or an empty text. */
export function endOf({ state, finish_reason: reason, text, reasoning }: Turn): string {
  if (state !== "finished" || reason === null) return "";
  if (text === "" && reasoning !== "") {
    if (reason === "length") return THOUGHT_TOO_LONG;
    if (reason === "stop") return "It ended in its thoughts, without an answer.";
  }
  if (reason === "stop") return "";
  return ENDS[reason] ?? `Ended: ${reason}.`;
}

export function inWords(number: number): string {
  return whole.format(number);
}

function numTokens(number: number): string {
  return `${inWords(number)} ${number === 1 ? "token" : "tokens"}`;
}

export function rounded(number: number): string {
  return number >= 1000 ? whole.format(Math.round(number)) : short.format(number);
}

/** A line that unfolds to all there is to say of a finished answer. */
export class FactsView {
  readonly #summary = make("summary", "");
  readonly #list = make("dl", "jllm-facts-list");
  readonly element = make("details", "jllm-facts", this.#summary, this.#list);
  #shown = "";

  show(turn: Turn): void {
    this.element.hidden = turn.state !== "finished";
    const facts = factsOf(turn);
    const key = JSON.stringify(facts);
    if (key === this.#shown) return;
    this.#shown = key;
    const { usage, model } = turn;
    const text = usage ? numTokens(usage.completion_tokens) : "Details";
    this.#summary.textContent = text;
    this.#summary.title = facts.map(([name, text]) => `${name}: ${text}`).join("\n");
    // What is read out begins with what is seen, for those who speak to their browser.
    this.#summary.setAttribute("aria-label", `${text}, how ${model ?? "the model"} answered`);
    this.#list.replaceChildren(
      ...facts.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]),
    );
  }
}

function factsOf({
  model,
  seed,
  temperature,
  exact,
  usage,
  told,
  attachments,
}: Turn): [string, string][] {
  const facts: [string, string][] = [];
  if (model !== null) facts.push(["Model", model]);
  if (seed !== null) facts.push(["Seed", String(seed)]);
  if (temperature !== null) facts.push(["Temperature", rounded(temperature)]);
  if (usage) {
    const { prompt_tokens: read, cached_tokens: cached, completion_tokens: written } = usage;
    const thought = usage.reasoning_tokens;
    facts.push(
      [
        "Tokens",
        `${inWords(written)} written${thought > 0 ? ` (${inWords(thought)} of them thoughts)` : ""}, ` +
          `${inWords(read)} read, ${inWords(cached)} of them cached`,
      ],
      [
        "Speed",
        `${rounded(usage.tokens_per_s)} tokens/s, the first after ${rounded(usage.first_token_s)} s`,
      ],
    );
  }
  facts.push(["Exact", exact ? "yes, the same seed gives the same answer" : "no"]);
  const cells = `${told.cells} ${told.cells === 1 ? "cell" : "cells"}`;
  const knows = [...(told.cells > 0 ? [cells] : []), ...told.variables, ...attachments];
  if (knows.length > 0) facts.push(["Told", knows.join(", ")]);
  return facts;
}
