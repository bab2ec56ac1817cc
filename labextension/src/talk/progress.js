/** How far something is that is not finished, in words and as a bar, with the button that stops it. */

import { createBar, make, makeButton, setText } from "../dom/elements.js";

/** @import { Progress } from "../connection/messages.js" */
/** @import { Store } from "../kernel/store.js" */

/** @type {Record<string, string>} */
const WORDS = {
  waiting: "Waiting…",
  reading: "Reading…",
  thinking: "Thinking…",
  writing: "Writing…",
};

export class ProgressView {
  #text = make("span", "jllm-progress-text");
  #seconds = make("span", "jllm-progress-seconds");
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #bar = createBar();
  element = make("div", "jllm-progress");

  /**
   * @param {{ store: Store, backToComposer: () => void }} around
   * @param {string | number} target  What the button stops.
   */
  constructor({ store, backToComposer }, target) {
    const end = () => {
      store.stop(target);
      backToComposer(); // the button goes
    };
    const stop = makeButton("Stop", end, { isPlain: false });
    stop.title = "Esc in the message field stops all";
    const dots = make("span", "jllm-dots");
    dots.setAttribute("aria-hidden", "true");
    this.element.append(dots, this.#text, this.#seconds, this.#bar.element, stop);
  }

  /**
   * @param {{ state: string, progress: Progress | null }} what
   */
  show({ state, progress }) {
    this.element.hidden = state === "finished";
    this.element.classList.toggle("jllm-writing", state === "writing");
    setText(this.#text, progress?.text ?? WORDS[state] ?? "");
    this.#bar.show(progress?.share ?? null);
    if (this.element.hidden) this.dispose();
    else this.#timer ??= this.#countSeconds();
  }

  #countSeconds() {
    const began = Date.now();
    setText(this.#seconds, "");
    const tell = () => setText(this.#seconds, `${Math.round((Date.now() - began) / 1000)} s`);
    return setInterval(tell, 1000);
  }

  dispose() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
