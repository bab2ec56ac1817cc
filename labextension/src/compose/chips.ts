/** What goes along with the next prompt, as small labels that can be taken away again. */

import type { Attachment, Status } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

interface Along {
  attachments: readonly Attachment[];
  isAlone: boolean;
}

/**
 * What was attached, what the user is at, and the cells that the chat tells by itself.
 *
 * What the user is at goes along once: sent or taken away, it is offered again when it has changed.
 */
export class Chips {
  readonly element = make("ul", "jllm-chips");
  along: Along = { attachments: [], isAlone: false }; // another object when it changes
  #added: Attachment[] = [];
  #offered: Attachment[] = [];
  #settled = new Set<string>();
  #numCells = 0;
  #isIfAsked = false;
  #isAlone = false;
  readonly #onRemoved: () => void;

  /** `onRemoved` is called when the user took one away: its button is gone. */
  constructor(onRemoved: () => void) {
    this.#onRemoved = onRemoved;
    this.element.setAttribute("aria-label", "Goes along with the prompt");
    this.#draw();
  }

  /** Attach something; it takes the place of what has its label. */
  add(attachment: Attachment): void {
    this.#added = [...this.#added.filter(({ label }) => label !== attachment.label), attachment];
    this.#draw();
  }

  /** Offer what the user is at. Tells whether that changes what goes along. */
  offer(offered: Attachment[]): boolean {
    const keys = new Set(offered.map(keyOf));
    this.#settled = new Set([...this.#settled].filter((key) => keys.has(key)));
    const open = offered.filter((attachment) => !this.#settled.has(keyOf(attachment)));
    if (open.map(keyOf).join() === this.#offered.map(keyOf).join()) return false;
    this.#offered = open;
    this.#draw();
    return true;
  }

  /** Show how many cells the chat tells by itself. */
  tell(status: Status | null): void {
    const [numCells, isIfAsked] = [status?.num_cells ?? 0, status?.is_if_asked ?? false];
    if (numCells === this.#numCells && isIfAsked === this.#isIfAsked) return;
    [this.#numCells, this.#isIfAsked] = [numCells, isIfAsked];
    this.#draw();
  }

  /** What goes along; nothing is attached any more. */
  takeAll(): Along {
    const taken = this.along;
    for (const attachment of this.#offered) this.#settled.add(keyOf(attachment));
    this.#added = [];
    this.#offered = [];
    this.#isAlone = false;
    this.#draw();
    return taken;
  }

  #draw(): void {
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

  #cells(): HTMLElement {
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

  #chip(attachment: Attachment): HTMLElement {
    const { label, text } = attachment;
    const title = text?.slice(0, 300) ?? trans.__("The file, as it is when this is sent.");
    return this.#made(label, title, () => {
      this.#settled.add(keyOf(attachment));
      this.#added = this.#added.filter((other) => other !== attachment);
      this.#offered = this.#offered.filter((other) => other !== attachment);
    });
  }

  #made(label: string, title: string, remove: () => void): HTMLElement {
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

function keyOf({ label, text }: Attachment): string {
  return JSON.stringify([label, text]);
}
