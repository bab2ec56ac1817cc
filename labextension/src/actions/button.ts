/** A button among what is done with a cell. */

import { make } from "../dom/elements.js";

export function actionButton(
  label: string,
  onClick: () => void,
  isMain = false,
): HTMLButtonElement {
  const button = make("button", "jllm-action-button", label);
  button.classList.toggle("jllm-mod-main", isMain);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}
