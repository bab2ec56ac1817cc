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
  readonly #first = document.createElement("ul");
  readonly #others = document.createElement("details");
  readonly #summary = document.createElement("summary");
  readonly #more = document.createElement("ul");
  #shown: Model[] = [];

  constructor(words: ListWords, choose: (name: string) => void) {
    this.#words = words;
    this.#choose = choose;
    this.node.className = "jllm-models";
    this.node.setAttribute("aria-label", words.title);
    this.#others.append(this.#summary, this.#more);
    this.node.append(entry("h3", words.title), this.#first, this.#others);
  }

  /** Show models; what unfolds the others stays, with its focus. */
  show(models: Model[]): void {
    if (models === this.#shown) return;
    this.#shown = models;
    this.node.hidden = models.length === 0;
    this.#first.replaceChildren(...models.slice(0, MOST).map((model) => this.#row(model)));
    const others = models.slice(MOST);
    this.#others.hidden = others.length === 0;
    this.#summary.textContent = others.length > 0 ? this.#words.more(others.length) : "";
    this.#more.replaceChildren(...others.map((model) => this.#row(model)));
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
