/** The button that asks for another answer: again, with another seed, or at a temperature. */

import { make, makeButton } from "../dom/elements.js";
import { openBeside } from "../dom/places.js";
import { inWords, trans } from "../dom/words.js";

export interface Sampling {
  seed?: number;
  temperature?: number;
}

const TEMPERATURES = [0, 0.7, 1.2];

/** Seeds are drawn from here: short enough to be written down. */
const NUM_SEEDS = 1_000_000;

/** Make the button with what it opens. */
export function createAnswerAgain(onChoose: (sampling: Sampling) => void): HTMLElement {
  const button = makeButton(trans.__("Answer again"), () => {}, { icon: "again" });
  const choose = (sampling: Sampling) => {
    popup.hidePopover();
    button.focus();
    onChoose(sampling);
  };
  const choice = (label: string, sampling: () => Sampling) =>
    makeButton(label, () => choose(sampling()), { className: "jllm-choice" });
  const field = make("input", {
    ...{ className: "jllm-field", type: "number", min: "0", max: "5", step: "any" },
    ...{ required: true, value: "1" },
  });
  const label = make("label", "", trans.__("Temperature"), field);
  const answer = make("button", "jllm-button", trans.__("Answer"));
  const form = make("form", "jllm-temperature", label, answer);
  form.onsubmit = (event) => {
    event.preventDefault();
    choose({ temperature: field.valueAsNumber });
  };
  const popup = make(
    "div",
    { className: "jllm-choices", role: "dialog", ariaLabel: trans.__("Answer again") },
    choice(trans.__("Again"), () => ({})),
    choice(trans.__("With another seed"), () => ({ seed: Math.floor(Math.random() * NUM_SEEDS) })),
    ...TEMPERATURES.map((temperature) =>
      choice(trans.__("At temperature %1", inWords(temperature)), () => ({ temperature })),
    ),
    form,
  );
  openBeside(button, popup, () => popup.querySelector("button")?.focus());
  // The row of buttons that it stands in would make one of these its only stop.
  popup.addEventListener("focusin", (event) => event.stopPropagation());
  return make("span", "jllm-answer-again", button, popup);
}
