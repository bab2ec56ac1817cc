/** What goes along with the next prompt, as small labels that can be taken away again. */

import { make, makeButton } from "../dom/elements.js";

/** @import { Attachment } from "../kernel/messages.js" */

/** The cells and outputs that were attached. */
export class Chips {
  element = make("ul", "jllm-chips");
  /** @type {Attachment[]} */
  #attachments = [];
  #onRemoved;

  /**
   * @param {() => void} onRemoved  Called when the user took one away: its button is gone.
   */
  constructor(onRemoved) {
    this.#onRemoved = onRemoved;
    this.element.setAttribute("aria-label", "Attached");
    this.#draw();
  }

  /**
   * Attach something; it takes the place of what has its label.
   *
   * @param {Attachment} attachment
   */
  add(attachment) {
    this.#attachments = [
      ...this.#attachments.filter(({ label }) => label !== attachment.label),
      attachment,
    ];
    this.#draw();
  }

  /**
   * What is attached; another list when that changes.
   *
   * @returns {readonly Attachment[]}
   */
  get attachments() {
    return this.#attachments;
  }

  /**
   * Return what is attached; nothing is any more.
   *
   * @returns {Attachment[]}
   */
  takeAll() {
    const taken = this.#attachments;
    this.#attachments = [];
    this.#draw();
    return taken;
  }

  #draw() {
    this.element.hidden = this.#attachments.length === 0;
    this.element.replaceChildren(...this.#attachments.map((attachment) => this.#chip(attachment)));
  }

  /**
   * @param {Attachment} attachment
   * @returns {HTMLElement}
   */
  #chip(attachment) {
    const { label, text } = attachment;
    const button = makeButton("×", () => {
      this.#attachments = this.#attachments.filter((other) => other !== attachment);
      this.#draw();
      this.#onRemoved();
    });
    button.setAttribute("aria-label", `Do not attach ${label}`);
    const chip = make("li", "jllm-chip", make("span", "", label), button);
    chip.title = text.slice(0, 300);
    return chip;
  }
}
