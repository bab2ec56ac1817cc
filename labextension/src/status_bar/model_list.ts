/** A list of models, each with a button that does something with it. */

import type { Model } from "../connection/messages.js";
import { button, entry } from "./elements.js";

/** So many are shown at once; the others unfold. */
const MOST = 4;

export interface ListWords {
  title: string;
  /** What the button of a model does. */
  verb: string;
  /** In its place where the model is loaded. */
  loaded: string;
  /** What unfolds the others. */
  more: (count: number) => string;
}

export class ModelListView {
  readonly node = document.createElement("section");
  readonly #words: ListWords;
  readonly #choose: (name: string) => void;
  #shown: Model[] = [];

  constructor(words: ListWords, choose: (name: string) => void) {
    this.#words = words;
    this.#choose = choose;
    this.node.className = "jllm-models";
    this.node.setAttribute("aria-label", words.title);
  }

  /** Show models; the focus stays at the one where it was. */
  show(models: Model[]): void {
    if (models === this.#shown) return;
    this.#shown = models;
    const buttons = () => [...this.node.querySelectorAll("button")];
    const focused = buttons().find((choice) => choice === document.activeElement)?.value;
    const isOpen = this.node.querySelector("details")?.open ?? false;
    this.node.hidden = models.length === 0;
    this.node.replaceChildren(entry("h3", this.#words.title), this.#list(models.slice(0, MOST)));
    const others = models.slice(MOST);
    if (others.length > 0) {
      const details = document.createElement("details");
      details.open = isOpen;
      details.append(entry("summary", this.#words.more(others.length)), this.#list(others));
      this.node.append(details);
    }
    buttons()
      .find(({ value }) => value === focused)
      ?.focus();
  }

  #list(models: Model[]): HTMLElement {
    const list = document.createElement("ul");
    list.append(...models.map((model) => this.#row(model)));
    return list;
  }

  #row({ name, note, is_loaded }: Model): HTMLElement {
    const { verb, loaded } = this.#words;
    const row = document.createElement("li");
    const choice = button(is_loaded ? loaded : verb, () => {
      if (!is_loaded) this.#choose(name);
    });
    choice.value = name;
    choice.setAttribute("aria-label", `${is_loaded ? loaded : verb} ${name}`);
    if (is_loaded) choice.setAttribute("aria-disabled", "true"); // it keeps the focus
    const text = document.createElement("span");
    text.append(entry("strong", name), entry("small", note));
    row.append(text, choice);
    return row;
  }
}
