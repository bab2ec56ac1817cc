/** How far something is that is not finished, in words and as a bar, with the button that stops it. */

import type { Progress } from "../connection/messages.js";
import { createBar, make, makeButton, setText } from "../dom/elements.js";
import { inWords, trans } from "../dom/words.js";
import type { Surroundings } from "./code_actions.js";

export class ProgressView {
  readonly #text = make("span", "jllm-progress-text");
  readonly #seconds = make("span", "jllm-progress-seconds");
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #bar = createBar();
  readonly element = make("div", "jllm-progress");

  /** `target`: what the button stops. */
  constructor({ store, backToComposer }: Surroundings, target: string | number) {
    const end = () => {
      store.stop(target);
      backToComposer(); // the button goes
    };
    const title = trans.__("Esc in the message field stops what you asked");
    const stop = makeButton(trans.__("Stop"), end, { isPlain: false, title });
    const dots = make("span", { className: "jllm-dots", ariaHidden: "true" });
    this.element.append(dots, this.#text, this.#seconds, this.#bar.element, stop);
  }

  show({ state, progress }: { state: string; progress?: Progress }): void {
    this.element.hidden = state === "finished";
    this.element.classList.toggle("jllm-writing", state === "writing");
    setText(this.#text, progress?.text ?? stateWords(state));
    this.#bar.show(progress?.share ?? null);
    if (this.element.hidden) this.dispose();
    else this.#timer ??= this.#countSeconds();
  }

  #countSeconds(): ReturnType<typeof setInterval> {
    const began = Date.now();
    const seconds = () => Math.round((Date.now() - began) / 1000);
    setText(this.#seconds, "");
    return setInterval(() => setText(this.#seconds, trans.__("%1 s", inWords(seconds()))), 1000);
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function stateWords(state: string): string {
  if (state === "waiting") return trans.__("Waiting…");
  if (state === "reading") return trans.__("Reading…");
  if (state === "thinking") return trans.__("Thinking…");
  return state === "writing" ? trans.__("Writing…") : "";
}
