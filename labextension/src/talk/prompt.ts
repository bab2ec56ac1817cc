/** A prompt: its text, its attachments, and a field to edit it. */

import { make, makeButton, setText } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** The prompt of a turn, or of a request that has no turn yet. */
export class PromptView {
  readonly #by = make("div", "jllm-by");
  readonly #text = make("div", { className: "jllm-prompt-text", dir: "auto" });
  readonly #attachments = make("ul", {
    className: "jllm-attachments",
    ariaLabel: trans.__("Attached"),
  });
  readonly element = make("div", "jllm-prompt", this.#by, this.#text, this.#attachments);
  #editor: HTMLElement | null = null;

  show(text: string, attachments: readonly string[] = [], by = ""): void {
    this.#by.hidden = by === "";
    setText(this.#by, by);
    setText(this.#text, text);
    this.#attachments.hidden = attachments.length === 0;
    if (this.#attachments.childElementCount !== attachments.length) {
      this.#attachments.replaceChildren(
        ...attachments.map((label) => make("li", "jllm-tag", label)),
      );
    }
  }

  /** Put a field with `asked` in the place of the text; `onEnd` is told the new text, or null if all stays. */
  edit(asked: string, onEnd: (text: string | null) => void): void {
    if (this.#editor) return;
    const field = make("textarea", {
      ...{ className: "jllm-field jllm-edit-field", value: asked, dir: "auto" },
      ariaLabel: trans.__("Edit the prompt"),
    });
    const end = (text: string | null) => {
      this.#editor?.remove();
      this.#editor = null;
      this.#text.hidden = false;
      onEnd(text);
    };
    const save = () => {
      const text = field.value.trim();
      if (text) end(text);
    };
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return; // a key of an input method
      if (event.key === "Escape") end(null);
      else if (event.key === "Enter" && !event.shiftKey) save();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const buttons = make(
      "div",
      "jllm-edit-buttons",
      makeButton(trans.__("Save"), save, { isPlain: false, className: "jllm-main-button" }),
      makeButton(trans.__("Cancel"), () => end(null), { isPlain: false }),
    );
    if (!this.#attachments.hidden) {
      buttons.append(make("span", "jllm-edit-note", trans.__("Without what is attached")));
    }
    this.#editor = make("div", "jllm-editor", field, buttons);
    this.#text.hidden = true;
    this.element.prepend(this.#editor);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}
