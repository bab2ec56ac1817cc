/** Suggestions at the cursor: commands after `/`, variables, cells and files after `@`. */

import type { Suggestions as Answer, Suggestion } from "../connection/messages.js";
import { codePoints, fromCodePoints } from "../dom/characters.js";
import { make } from "../dom/elements.js";
import { randomId } from "../dom/random_id.js";
import { trans } from "../dom/words.js";
import type { Store } from "../kernel/store.js";

/** Only here does the kernel have anything to suggest. */
const MAY_BE_SUGGESTED = /(?:^\s*\/[\w-]*|(?:^|[^\w@/.)\]])@(?:[\w[./+-]*|"[^"\n]*))$/u;

/** The time that the pointer or the choice rests on an entry before its description is shown. */
const DESCRIBE_MS = 200;

/** A list below the hands of whoever types; the focus stays in the text. */
export class Suggestions {
  readonly element = make("div", "jllm-suggestions-box");
  readonly #textarea: HTMLTextAreaElement;
  readonly #store: Store;
  readonly #openNotebooks: () => string[];
  readonly #list = make("ul", "jllm-suggestions");
  readonly #description = make("div", "jllm-description");
  readonly #id = `jllm-suggestions-${randomId()}`;
  #shown: Answer | null = null;
  #text = "";
  #active = -1;
  #requestId = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(textarea: HTMLTextAreaElement, store: Store, openNotebooks: () => string[]) {
    this.#textarea = textarea;
    this.#store = store;
    this.#openNotebooks = openNotebooks;
    this.#list.id = this.#id;
    this.#list.setAttribute("role", "listbox");
    this.#list.setAttribute("aria-label", trans.__("Suggestions"));
    this.#description.id = `${this.#id}-description`;
    this.element.append(this.#list, this.#description);
    this.#list.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus
    textarea.setAttribute("aria-autocomplete", "list");
    textarea.setAttribute("aria-haspopup", "listbox");
    this.close();
  }

  /** Ask for what may stand at the cursor now, if anything may. */
  async ask(): Promise<void> {
    const { value, selectionStart, selectionEnd } = this.#textarea;
    if (selectionStart !== selectionEnd || !MAY_BE_SUGGESTED.test(value.slice(0, selectionStart))) {
      this.close();
      return;
    }
    const cursor = codePoints(value, selectionStart);
    this.#narrow(value, cursor);
    const open_notebooks = this.#openNotebooks();
    const asked = this.#store.call("suggest", { text: value, cursor, open_notebooks });
    this.#requestId = asked.id;
    // Without suggestions one types on; the panel shows what is wrong with the kernel.
    const answer = await asked.catch(() => null);
    if (this.#requestId !== asked.id || this.#textarea.value !== value) return;
    if (answer) this.#show(answer, value);
  }

  /** Put the list away, and take no answer that is still to come. */
  close(): void {
    this.#requestId = "";
    this.#shown = null;
    this.#active = -1;
    this.element.hidden = true;
    this.#list.replaceChildren();
    this.#hideDescription();
    this.#textarea.removeAttribute("aria-controls");
    this.#textarea.removeAttribute("aria-activedescendant");
  }

  /** Take a key that was pressed in the text. Tells whether it was for the list. */
  takeKey({ key, shiftKey }: KeyboardEvent): boolean {
    if (!this.#shown || shiftKey) return false;
    if (this.#text !== this.#textarea.value) {
      this.close(); // it is about another text
      return false;
    }
    if (key === "ArrowDown") this.#choose(this.#active + 1);
    else if (key === "ArrowUp") this.#choose(this.#active - 1);
    else if (key === "Enter" && this.#isTyped(this.#active)) {
      this.close(); // there is nothing to choose any more: Enter sends
      return false;
    } else if (key === "Enter" || key === "Tab") this.#accept(this.#active);
    else if (key === "Escape") this.close();
    else return false;
    return true;
  }

  /**
   * Keep of the list what still goes on from what is typed, until the kernel has answered: whoever
   * types faster than it answers must not be given what fitted a while ago.
   */
  #narrow(value: string, cursor: number): void {
    if (!this.#shown) return;
    const { start, end, items } = this.#shown;
    const [old, all] = [[...this.#text], [...value]];
    const typed = all.slice(start, cursor).join("").toLowerCase();
    const isHere = typed !== "" && old.slice(0, start).join("") === all.slice(0, start).join("");
    const left = items.filter(({ text }) => isHere && text.toLowerCase().startsWith(typed));
    this.#show({ ...this.#shown, end: end + all.length - old.length, items: left }, value);
  }

  /** `text` is what it was asked for. */
  #show(answer: Answer, text: string): void {
    const typed = fromCodePoints(text, answer.start, answer.end);
    const isComplete = answer.items.length === 1 && answer.items[0]?.text === typed;
    const chosen = this.#shown?.items[this.#active]?.text;
    this.close();
    if (answer.items.length === 0 || isComplete) return;
    this.#shown = answer;
    this.#text = text;
    this.#list.replaceChildren(...answer.items.map((item, index) => this.#option(item, index)));
    this.element.hidden = false;
    this.#textarea.setAttribute("aria-controls", this.#id);
    const index = answer.items.findIndex((item) => item.text === chosen);
    this.#choose(Math.max(index, 0));
  }

  #option({ label, detail }: Suggestion, index: number): HTMLElement {
    const option = make(
      "li",
      "jllm-suggestion",
      make("span", "jllm-suggestion-label", label),
      make("span", "jllm-suggestion-detail", detail),
    );
    option.id = `${this.#id}-${index}`;
    option.setAttribute("role", "option");
    option.addEventListener("pointermove", () => this.#choose(index));
    option.addEventListener("click", () => this.#accept(index));
    return option;
  }

  /** Beyond the last comes the first. */
  #choose(place: number): void {
    const { length } = this.#list.children;
    const index = (place + length) % length;
    const item = this.#shown?.items[index];
    if (index === this.#active || !item) return;
    this.#active = index;
    const option = this.#list.children[index];
    for (const one of this.#list.children) one.ariaSelected = String(one === option);
    option?.scrollIntoView({ block: "nearest" });
    this.#textarea.setAttribute("aria-activedescendant", option?.id ?? "");
    this.#hideDescription();
    this.#timer = setTimeout(() => this.#showDescription(item), DESCRIBE_MS);
  }

  async #showDescription(item: Suggestion): Promise<void> {
    const { kind, name } = item;
    const text = await this.#store.call("describe", { kind, name }).catch(() => "");
    if (!text || this.#shown?.items[this.#active] !== item) return;
    this.#description.textContent = text;
    this.#description.hidden = false;
    this.#list.children[this.#active]?.setAttribute("aria-describedby", this.#description.id);
  }

  #hideDescription(): void {
    clearTimeout(this.#timer);
    this.#description.hidden = true;
    for (const option of this.#list.children) option.removeAttribute("aria-describedby");
  }

  /** Whether an entry stands in the text already. */
  #isTyped(index: number): boolean {
    const item = this.#shown?.items[index];
    if (!this.#shown || !item) return false;
    const typed = fromCodePoints(this.#text, this.#shown.start, this.#shown.end);
    return item.text.trimEnd() === typed;
  }

  /** Put an entry into the text. */
  #accept(index: number): void {
    const [shown, text] = [this.#shown, this.#text];
    const item = shown?.items[index];
    this.close();
    if (!shown || !item) return;
    const start = fromCodePoints(text, 0, shown.start).length;
    const end = fromCodePoints(text, 0, shown.end).length;
    this.#textarea.focus();
    this.#textarea.setSelectionRange(start, end);
    // As if it were typed, since only that can be undone.
    document.execCommand("insertText", false, item.text);
  }
}
