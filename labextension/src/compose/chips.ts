/** Chips that show what the next prompt includes, each with a button that removes it. */

import type { Attachment, Status } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

interface Along {
  attachments: readonly Attachment[];
  isAlone: boolean;
}

/**
 * The attachments, the user's cell and selection, and the cells that the chat includes by itself.
 *
 * The user's cell is included once: sent or removed, it is offered again when it has changed.
 */
export class Chips {
  readonly element = make("ul", "jllm-chips");
  along: Along = { attachments: [], isAlone: false }; // another object when it changes
  #added: Attachment[] = [];
  #offered: Attachment[] = [];
  #settled = new Set<string>();
  #status: Pick<Status, "num_cells" | "is_if_asked"> = { num_cells: 0, is_if_asked: false };
  #isAlone = false;
  #shown = "";
  readonly #onChange: (hadFocus: boolean) => void;

  /** `onChange` is called when something else goes along, and told whether a button here is gone. */
  constructor(onChange: (hadFocus: boolean) => void) {
    this.#onChange = onChange;
    this.element.setAttribute("aria-label", trans.__("Goes along with the prompt"));
    this.element.hidden = true;
  }

  /** Attach something; it takes the place of what has its label. */
  add(attachment: Attachment): void {
    this.#added = [...this.#added.filter(({ label }) => label !== attachment.label), attachment];
    this.#draw();
  }

  /** Offer what the user is at. */
  offer(offered: Attachment[]): void {
    const keys = new Set(offered.map(keyOf));
    this.#settled = new Set([...this.#settled].filter((key) => keys.has(key)));
    this.#offered = offered;
    this.#draw();
  }

  /** Show how many cells the chat tells by itself. */
  tell(status: Status): void {
    this.#status = status;
    this.#draw();
  }

  /** Return what the prompt includes, and remove the attachments. */
  takeAll(): Along {
    const taken = this.along;
    for (const attachment of this.#offered) this.#settled.add(keyOf(attachment));
    this.#added = [];
    this.#isAlone = false;
    this.#draw();
    return taken;
  }

  #draw(): void {
    const added = new Set(this.#added.map(({ label }) => label));
    const others = this.#offered.filter(
      (offered) => !added.has(offered.label) && !this.#settled.has(keyOf(offered)),
    );
    const along = { attachments: [...others, ...this.#added], isAlone: this.#isAlone };
    const { num_cells: numCells, is_if_asked: isIfAsked } = this.#status;
    const key = JSON.stringify([along, numCells, isIfAsked]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.along = along;
    const chips = along.attachments.map((attachment) => this.#chip(attachment));
    if (numCells > 0 && !this.#isAlone) chips.unshift(this.#cells(numCells, isIfAsked));
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = chips.length === 0;
    this.element.replaceChildren(...chips);
    this.#onChange(hadFocus);
  }

  #cells(count: number, isIfAsked: boolean): HTMLElement {
    const label = isIfAsked
      ? trans._n(
          "Sends %1 cell when your question is about it",
          "Sends %1 cells when your question is about them",
          count,
        )
      : trans._n("%1 cell", "%1 cells", count);
    const title = trans.__("The cells that ran, and the variables that they use.");
    return this.#made(label, title, () => {
      this.#isAlone = true;
    });
  }

  #chip(attachment: Attachment): HTMLElement {
    const { label, text } = attachment;
    const start = text && (typeof text === "string" ? text : text.start).slice(0, 300);
    const title = start ?? trans.__("The file, as it is when this is sent.");
    return this.#made(label, title, () => {
      this.#settled.add(keyOf(attachment));
      this.#added = this.#added.filter((other) => other !== attachment);
    });
  }

  #made(label: string, title: string, remove: () => void): HTMLElement {
    const button = makeButton("×", () => {
      remove();
      this.#draw();
    });
    button.setAttribute("aria-label", trans.__("Leave out %1", withVisibleControls(label)));
    const chip = make("li", "jllm-chip", make("span", "", label), button);
    chip.title = withVisibleControls(title);
    return chip;
  }
}

function keyOf({ label, text }: Attachment): string {
  return JSON.stringify([label, text]);
}
