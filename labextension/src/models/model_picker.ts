/** The model, where it is named: a button that says what it does, and opens more. */

import { make, makeButton, setText } from "../dom/elements.js";
import { openBeside } from "../dom/places.js";
import type { ModelStatus } from "../kernel/model_status.js";
import { ModelPopup } from "./model_popup.js";
import { line } from "./words.js";

/**
 * Make it. `unknown` is what it says while nothing is known of the model, and then it opens nothing.
 * Announcements are made in the popup.
 */
export function createModelPicker(
  model: ModelStatus,
  unknown: () => string,
  openSettings: (() => void) | null = null,
): { element: HTMLElement; button: HTMLButtonElement; dispose: () => void } {
  const button = makeButton("", () => {}, { className: "jllm-model" });
  const frame = make("div", "jllm-model-frame");
  let popup: ModelPopup | null = null;
  const leave = () => {
    frame.hidePopover();
    openSettings?.();
  };
  openBeside(button, frame, (isOpen) => {
    popup?.dispose();
    popup = isOpen ? new ModelPopup(model, openSettings && leave) : null;
    frame.replaceChildren(...(popup ? [popup.node] : []));
    popup?.node.focus();
  });
  const show = () => {
    const { status } = model;
    setText(button, status ? line(status) : unknown());
    button.title = button.textContent;
    button.popoverTargetElement = status ? frame : null;
    button.ariaHasPopup = status ? "dialog" : null;
    if (!status) frame.hidePopover();
  };
  const end = model.onChange(show);
  show();
  return {
    element: make("span", "jllm-model-place", button, frame),
    button,
    dispose() {
      end();
      popup?.dispose();
    },
  };
}
