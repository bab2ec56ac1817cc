/** What goes along with the next prompt, as small labels that can be taken away again. */

import { make, makeButton } from "../dom/elements.js";

/** @import { Attachment, Status } from "../connection/messages.js" */

/** @typedef {{ attachments: readonly Attachment[], isAlone: boolean }} Along */

/**
 * What was attached, what the user is at, and the cells that the chat tells by itself.
 *
 * What the user is at goes along once: sent or taken away, it is offered again when it has changed.
 */
export class Chips {
  element = make("ul", "jllm-chips");
  /** @type {Along} */
  along = { attachments: [], isAlone: false }; // another object when it changes
  /** @type {Attachment[]} */
  #added = [];
  /** @type {Attachment[]} */
  #offered = [];
  #settled = new Set();
  #numCells = 0;
  #isIfAsked = false;
  #isAlone = false;
  #onRemoved;

  /**
   * @param {() => void} onRemoved  Called when the user took one away: its button is gone.
   */
  constructor(onRemoved) {
    this.#onRemoved = onRemoved;
    this.element.setAttribute("aria-label", "Goes along with the prompt");
    this.#draw();
  }

  /**
   * Attach something; it takes the place of what has its label.
   *
   * @param {Attachment} attachment
   */
  add(attachment) {
    this.#added = [...this.#added.filter(({ label }) => label !== attachment.label), attachment];
    this.#draw();
  }

  /**
   * Offer what the user is at.
   *
   * @param {Attachment[]} offered
   * @returns {boolean}  Whether that changes what goes along.
   */
  offer(offered) {
    const keys = new Set(offered.map(keyOf));
    this.#settled = new Set([...this.#settled].filter((key) => keys.has(key)));
    const open = offered.filter((attachment) => !this.#settled.has(keyOf(attachment)));
    if (open.map(keyOf).join() === this.#offered.map(keyOf).join()) return false;
    this.#offered = open;
    this.#draw();
    return true;
  }

  /**
   * Show how many cells the chat tells by itself.
   *
   * @param {Status | null} status
   */
  tell(status) {
    const [numCells, isIfAsked] = [status?.num_cells ?? 0, status?.is_if_asked ?? false];
    if (numCells === this.#numCells && isIfAsked === this.#isIfAsked) return;
    [this.#numCells, this.#isIfAsked] = [numCells, isIfAsked];
    this.#draw();
  }

  /**
   * Return what goes along; nothing is attached any more.
   *
   * @returns {Along}
   */
  takeAll() {
    const taken = this.along;
    for (const attachment of this.#offered) this.#settled.add(keyOf(attachment));
    this.#added = [];
    this.#offered = [];
    this.#isAlone = false;
    this.#draw();
    return taken;
  }

  #draw() {
    const others = this.#offered.filter(
      ({ label }) => !this.#added.some((added) => added.label === label),
    );
    const attachments = [...others, ...this.#added];
    this.along = { attachments, isAlone: this.#isAlone };
    const chips = attachments.map((attachment) => this.#chip(attachment));
    if (this.#numCells > 0 && !this.#isAlone) chips.unshift(this.#cells());
    this.element.hidden = chips.length === 0;
    this.element.replaceChildren(...chips);
  }

  /**
   * @returns {HTMLElement}
   */
  #cells() {
    const name = this.#numCells === 1 ? "1 cell" : `${this.#numCells} cells`;
    const them = this.#numCells === 1 ? "it" : "them";
    const label = this.#isIfAsked ? `${name}, if you ask about ${them}` : name;
    const title = this.#isIfAsked
      ? "The cells that ran, and the variables they use: they go along with a prompt about them."
      : "The cells that ran, and the variables they use: they go along by themselves.";
    return this.#made(label, title, () => {
      this.#isAlone = true;
    });
  }

  /**
   * @param {Attachment} attachment
   * @returns {HTMLElement}
   */
  #chip(attachment) {
    const { label, text } = attachment;
    return this.#made(label, text.slice(0, 300), () => {
      this.#settled.add(keyOf(attachment));
      this.#added = this.#added.filter((other) => other !== attachment);
      this.#offered = this.#offered.filter((other) => other !== attachment);
    });
  }

  /**
   * @param {string} label
   * @param {string} title
   * @param {() => void} remove
   * @returns {HTMLElement}
   */
  #made(label, title, remove) {
    const button = makeButton("×", () => {
      remove();
      this.#draw();
      this.#onRemoved();
    });
    button.setAttribute("aria-label", `Leave out ${label}`);
    const chip = make("li", "jllm-chip", make("span", "", label), button);
    chip.title = title;
    return chip;
  }
}

/**
 * @param {Attachment} attachment
 * @returns {string}
 */
function keyOf({ label, text }) {
  return JSON.stringify([label, text]);
}
