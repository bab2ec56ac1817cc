/** Chips that show what the next prompt includes: each can be read, and has a button to remove it. */

import type { Attachment, Status } from "../connection/messages.js";
import { withVisibleControls } from "../dom/characters.js";
import { make, makeButton, makeScrollable, setText } from "../dom/elements.js";
import { randomId } from "../dom/random_id.js";
import { trans } from "../dom/words.js";

interface Along {
  attachments: readonly Attachment[];
  isAlone: boolean;
}

/** What of the status is included without the user. */
type Included = Pick<Status, "num_cells" | "is_if_asked" | "rules">;

/**
 * The attachments, the user's cell and selection, and the rules of the project and the cells that
 * the chat includes by itself. The text of one chip at a time is shown below them.
 *
 * The user's cell is included once: sent or removed, it is offered again when it has changed.
 */
export class Chips {
  readonly #list = make("ul", "jllm-chips");
  readonly #text = make("pre", "jllm-chip-text");
  readonly element = make("div", "", this.#list, this.#text);
  along: Along = { attachments: [], isAlone: false }; // another object when it changes
  #added: Attachment[] = [];
  #offered: Attachment[] = [];
  #settled = new Set<string>();
  #status: Included = { num_cells: 0, is_if_asked: false };
  #isAlone = false;
  #shown = "";
  /** The label of the chip whose text is shown. */
  #open = "";
  readonly #onChange: (hadFocus: boolean) => void;
  readonly #hideRules: () => void;

  /**
   * `onChange` is called when the prompt includes something else, and told whether a button here is
   * gone. `hideRules` hides the rules of the project from prompts.
   */
  constructor(onChange: (hadFocus: boolean) => void, hideRules: () => void) {
    this.#onChange = onChange;
    this.#hideRules = hideRules;
    this.#list.setAttribute("aria-label", trans.__("Goes along with the prompt"));
    this.#text.id = `jllm-chip-${randomId()}`;
    this.element.hidden = true;
  }

  /** Attach something; it takes the place of what has its label. */
  add(attachment: Attachment): void {
    this.#added = [...this.#added.filter(({ label }) => label !== attachment.label), attachment];
    this.#draw();
  }

  /** Take an attachment out again. */
  remove(attachment: Attachment): void {
    this.#added = this.#added.filter((other) => other !== attachment);
    this.#draw();
  }

  /** Offer what the user is at. */
  offer(offered: Attachment[]): void {
    const keys = new Set(offered.map(keyOf));
    this.#settled = new Set([...this.#settled].filter((key) => keys.has(key)));
    this.#offered = offered;
    this.#draw();
  }

  /** Show the rules and the number of cells that the chat includes by itself. */
  tell(status: Included): void {
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
    const { num_cells: numCells, is_if_asked: isIfAsked, rules } = this.#status;
    const key = JSON.stringify([along, numCells, isIfAsked, rules]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.along = along;
    const chips = along.attachments.map((attachment) => this.#chip(attachment));
    if (numCells > 0 && !this.#isAlone) chips.unshift(this.#cells(numCells, isIfAsked));
    if (rules) chips.unshift(this.#made(rules.label, textOf(rules), this.#hideRules));
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = chips.length === 0;
    this.#list.replaceChildren(...chips);
    if (!chips.some(({ dataset }) => dataset.label === this.#open)) this.#show("", "");
    this.#onChange(hadFocus);
  }

  /** Show the text of a chip below all of them, or none without a label. */
  #show(label: string, text: string): void {
    this.#open = label;
    this.#text.hidden = label === "";
    setText(this.#text, text);
    makeScrollable(this.#text, withVisibleControls(label));
    for (const chip of this.#list.children as HTMLCollectionOf<HTMLElement>) {
      chip.firstElementChild?.setAttribute("aria-expanded", String(chip.dataset.label === label));
    }
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
    return this.#made(attachment.label, textOf(attachment), () => {
      this.#settled.add(keyOf(attachment));
      this.remove(attachment);
    });
  }

  #made(label: string, text: string, remove: () => void): HTMLElement {
    if (this.#open === label) setText(this.#text, text); // the cell was edited
    const name = makeButton(label, () => {
      const isOpen = this.#open === label;
      this.#show(isOpen ? "" : label, isOpen ? "" : text);
    });
    name.setAttribute("aria-expanded", String(this.#open === label));
    name.setAttribute("aria-controls", this.#text.id);
    const button = makeButton("×", () => {
      remove();
      this.#draw();
    });
    button.setAttribute("aria-label", trans.__("Leave out %1", withVisibleControls(label)));
    const chip = make("li", "jllm-chip", name, button);
    chip.dataset.label = label;
    return chip;
  }
}

function textOf({ text }: Attachment): string {
  const start = text && typeof text !== "string" ? text.start : text;
  return start ?? trans.__("The file, as it is when this is sent.");
}

function keyOf({ label, text }: Attachment): string {
  return JSON.stringify([label, text]);
}
