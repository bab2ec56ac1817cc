/** The probability of each token of an answer: a line and a tint, and words where one points. */

import type { Token } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { make, setText } from "../dom/elements.js";
import { inWords, trans } from "../dom/words.js";

function tokenElement(text: string, share: number): HTMLElement {
  const element = make("span", "jllm-token", text.replaceAll("\n", "↵\n"));
  element.style.setProperty("--doubt", String(1 - share));
  return element;
}

/** Make what shows tokens: one stop for the Tab key, and arrow keys lead from one to the next. */
export function tokensView(tokens: readonly Token[]): HTMLElement {
  const told = make("p", "jllm-note", " ");
  const options = tokens.map(({ text, probability, told: likely }, index) => {
    const option = tokenElement(text, probability);
    const ariaLabel = withVisibleControls(`${text.trim()} ${likely}`);
    Object.assign(option, { role: "option", tabIndex: index ? -1 : 0, ariaLabel });
    return option;
  });
  const ariaLabel = trans.__("Tokens with their probabilities");
  const list = make("div", { className: "jllm-tokens", role: "listbox", ariaLabel }, ...options);
  for (const kind of ["pointerover", "focusin"]) {
    list.addEventListener(kind, ({ target }) => setText(told, (target as Element).ariaLabel ?? ""));
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && options[options.indexOf(event.target as HTMLElement) + step];
    if (!next) return;
    for (const option of options) option.tabIndex = option === next ? 0 : -1;
    next.focus();
  });
  const marks = [0.9, 0.5, 0.1];
  const legend = marks.map((m) => tokenElement(` ${inWords(m, { style: "percent" })} `, m));
  return make("div", "", make("p", "jllm-note", trans.__("How likely:"), ...legend), list, told);
}
