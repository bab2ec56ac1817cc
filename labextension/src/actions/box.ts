/** The box in which a person says what is to be changed. */

import { Recall } from "../compose/recall.js";
import { make, makeButton } from "../dom/elements.js";
import { keepShortcutsOut } from "../dom/shortcuts.js";
import { trans } from "../dom/words.js";

/** The texts that were sent from any box, the latest last. */
const earlier: string[] = [];

/** Make one; what is sent is no longer in its field. */
export function createBox(onSend: (text: string) => void) {
  const field = make("textarea", "jllm-action-box");
  field.rows = 1;
  keepShortcutsOut(field); // Shift+Enter would be “run”, and Ctrl+Z the cell's
  const recall = new Recall(() => [...earlier]);
  const send = () => {
    const text = field.value.trim();
    if (!text) return field.focus();
    earlier.push(text);
    recall.reset();
    field.value = "";
    onSend(text);
  };
  field.addEventListener("input", () => recall.reset());
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return; // the latter in Safari
    const other = recall.textFor(event, field);
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) send();
    else if (other !== null) field.value = other;
    else return;
    event.preventDefault();
  });
  const button = makeButton(trans.__("Send"), send);
  return { element: make("div", "jllm-action-ask", field, button), field };
}
