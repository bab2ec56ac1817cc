/** The box in which a person says what is to be changed. */

import { Recall } from "../compose/recall.js";
import { make } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { actionButton } from "./button.js";

/** Make one that holds a draft; what is sent is added to what was sent before, the latest last. */
export function createBox(
  label: string,
  draft: string,
  earlier: string[],
  onSend: (text: string) => void,
): HTMLElement {
  const box = make("textarea", "jllm-action-box");
  box.rows = 1;
  box.placeholder = label;
  box.setAttribute("aria-label", label);
  // JupyterLab would take Shift+Enter for “run”, and Ctrl+Z for its own.
  box.dataset.lmSuppressShortcuts = "true";
  box.value = draft;
  const send = () => {
    const text = box.value.trim();
    if (!text) return box.focus();
    earlier.push(text);
    onSend(text);
  };
  const recall = new Recall(() => [...earlier]);
  box.addEventListener("input", () => recall.reset());
  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const other = recall.textFor(event.key, box);
    if (event.key === "Enter" && !event.shiftKey) send();
    else if (other !== null) box.value = other;
    else return;
    event.preventDefault();
  });
  return make("div", "jllm-action-ask", box, actionButton(trans.__("Send"), send));
}
