/** How an answer came about: what was thought, the model, its settings, and what it cost. */

import type { TurnData } from "../connection/messages.js";
import { factEntries, make, setText } from "../dom/elements.js";
import { inWords, listed, trans } from "../dom/words.js";

const SHORT = { maximumSignificantDigits: 3, useGrouping: false };

/** Why an answer ended before its end, or an empty text. */
export function endOf({ state, finish_reason: reason, text, reasoning }: TurnData): string {
  if (state !== "finished" || !reason) return "";
  const hasOnlyThought = text === "" && reasoning !== "";
  switch (reason) {
    case "stop":
      return hasOnlyThought ? trans.__("It ended in its thoughts, without an answer.") : "";
    case "length":
      return hasOnlyThought
        ? trans.__("Cut off while it still thought: it reached the most tokens an answer may have.")
        : trans.__("Cut off: it reached the most tokens an answer may have.");
    case "cancelled":
      return trans.__("Stopped.");
    case "error":
      return trans.__("Broken off by an error.");
    case "repetition":
      return trans.__("Stopped: it had begun to repeat itself.");
    default:
      return trans.__("Ended: %1.", reason);
  }
}

/** A number with three digits, or all before the point. */
export function rounded(number: number): string {
  return inWords(number, number >= 1000 ? { maximumFractionDigits: 0 } : SHORT);
}

/** What a model thought before its answer: folded, also while it grows. */
export class ThoughtsView {
  readonly #summary = make("summary", "");
  readonly #text = make("div", "jllm-thoughts-text");
  readonly element = make("details", "jllm-thoughts", this.#summary, this.#text);

  show(turn: TurnData): void {
    this.element.hidden = turn.reasoning === "";
    setText(this.#summary, thoughts(turn));
    setText(this.#text, turn.reasoning);
  }
}

/** Whether a turn is still being thought about. */
export function isThinking({ state, reasoning, text }: TurnData): boolean {
  return state === "writing" && reasoning !== "" && text === "";
}

function thoughts(turn: TurnData): string {
  if (isThinking(turn)) return trans.__("Thoughts so far");
  const count = turn.usage?.reasoning_tokens;
  if (!count) return trans.__("Thought");
  return trans._n("Thought for %2 token", "Thought for %2 tokens", count, inWords(count));
}

/** A line that unfolds to all there is to say of a finished answer. */
export class FactsView {
  readonly #summary = make("summary", "");
  readonly #list = make("dl", "jllm-facts-list");
  readonly element = make("details", "jllm-facts", this.#summary, this.#list);

  show(turn: TurnData): void {
    this.element.hidden = turn.state !== "finished";
    const facts = factsOf(turn);
    const title = facts.map(([name, text]) => trans.__("%1: %2", name, text)).join("\n");
    if (title === this.#summary.title) return;
    const count = turn.usage?.completion_tokens;
    const size =
      count === undefined
        ? trans.__("Details")
        : trans._n("%2 token", "%2 tokens", count, inWords(count));
    const text = turn.host ? trans.__("%1, sent to %2", size, turn.host) : size;
    // What is read out begins with what is seen, for those who speak to their browser.
    const model = turn.model ?? trans.__("the model");
    const ariaLabel = trans.__("%1, how %2 answered", text, model);
    Object.assign(this.#summary, { textContent: text, title, ariaLabel });
    this.#list.replaceChildren(...factEntries(facts));
  }
}

function factsOf({ model, host, seed, temperature, exact, usage, ...told }: TurnData) {
  const facts: [name: string, text: string][] = [];
  if (model) facts.push([trans.__("Model"), model]);
  if (host) facts.push([trans.__("Sent to"), host]);
  if (seed !== undefined) facts.push([trans.__("Seed"), String(seed)]);
  if (temperature !== undefined) facts.push([trans.__("Temperature"), rounded(temperature)]);
  if (usage) {
    const written = inWords(usage.completion_tokens);
    const thought = inWords(usage.reasoning_tokens);
    const [read, cached] = [inWords(usage.prompt_tokens), inWords(usage.cached_tokens)];
    const tokens = usage.reasoning_tokens
      ? trans.__(
          "%1 written (%2 of them thoughts), %3 read, %4 of them cached",
          ...[written, thought, read, cached],
        )
      : trans.__("%1 written, %2 read, %3 of them cached", written, read, cached);
    const [speed, wait] = [rounded(usage.tokens_per_s), rounded(usage.first_token_s)];
    facts.push([trans.__("Tokens"), tokens]);
    facts.push([trans.__("Speed"), trans.__("%1 tokens/s, the first after %2 s", speed, wait)]);
  }
  const isExact = exact ? trans.__("yes, the same seed gives the same answer") : trans.__("no");
  facts.push([trans.__("Exact"), isExact]);
  const cells = told.num_cells > 0 ? [trans._n("%1 cell", "%1 cells", told.num_cells)] : [];
  const knows = [...cells, ...told.variables, ...told.attachments];
  if (knows.length > 0) facts.push([trans.__("Told"), listed(knows)]);
  return facts;
}
