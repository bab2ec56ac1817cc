/** How far something is that is not finished, in words and as a bar, with the button that stops it. */

import { createBar, make, makeButton, setText } from "../dom/elements.js";

/** @import { Progress } from "../kernel/messages.js" */

/** @type {Record<string, string>} */
const WORDS = { waiting: "Waiting…", reading: "Reading…", writing: "Writing…" };

export class ProgressView {
  #text = make("span", "jllm-progress-text");
  #bar = createBar();
  element = make("div", "jllm-progress");

  /**
   * @param {() => void} onStop
   */
  constructor(onStop) {
    const dots = make("span", "jllm-dots");
    dots.setAttribute("aria-hidden", "true");
    this.element.append(
      dots,
      this.#text,
      this.#bar.element,
      makeButton("Stop", onStop, { isPlain: false }),
    );
  }

  /**
   * @param {{ state: string, progress: Progress | null }} what
   */
  show({ state, progress }) {
    this.element.hidden = state === "finished";
    this.element.classList.toggle("jllm-writing", state === "writing");
    setText(this.#text, progress?.text ?? WORDS[state] ?? "");
    this.#bar.show(progress?.share ?? null);
  }
}
