/** The model, where one types: a button that says what it does, and opens more. */

import { make, makeButton, setText } from "../dom/elements.js";
import { placeBeside } from "../dom/places.js";
import { trans } from "../dom/words.js";
import type { ModelStatus } from "../kernel/model_status.js";
import { ModelPopup } from "./model_popup.js";
import { line } from "./words.js";

/** Make it. What it announces it announces in what opens. */
export function createModelPicker(model: ModelStatus): {
  element: HTMLElement;
  dispose: () => void;
} {
  const button = makeButton("", () => {}, { className: "jllm-model" });
  const frame = make("div", "jllm-model-frame");
  let popup: ModelPopup | null = null;
  frame.popover = "auto"; // in the top layer nothing cuts it off, and a click beside it closes it
  button.popoverTargetElement = frame;
  button.setAttribute("aria-haspopup", "dialog");
  frame.addEventListener("toggle", (event) => {
    popup?.dispose();
    popup = (event as ToggleEvent).newState === "open" ? new ModelPopup(model) : null;
    frame.replaceChildren(...(popup ? [popup.node] : []));
    place();
    popup?.node.focus();
  });
  frame.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault(); // it means this, and nothing around it
    frame.hidePopover();
    button.focus();
  });
  const place = () => placeBeside(frame, button);
  const show = () => {
    const { status, pulling } = model;
    setText(button, status ? line("open", status, pulling) : trans.__("Connecting…"));
    button.title = button.textContent;
    if (popup) place(); // it grows as models are listed
  };
  const end = model.onChange(show);
  show();
  return {
    element: make("span", "jllm-model-place", button, frame),
    dispose() {
      end();
      popup?.dispose();
    },
  };
}
