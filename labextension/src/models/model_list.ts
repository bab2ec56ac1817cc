/** A list of models, each with a button that does something with it. */

import type { Model } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** So many are shown at once; the others unfold. */
const MOST = 4;

export class ModelListView {
  readonly #first = make("ul", "");
  readonly #summary = make("summary", "");
  readonly #more = make("ul", "");
  readonly #others = make("details", "", this.#summary, this.#more);
  readonly node: HTMLElement;
  readonly #verb: string;
  readonly #choose: (name: string) => void;
  #shown: Model[] = [];

  /** `verb` is what the button of a model does. */
  constructor(title: string, verb: string, choose: (name: string) => void) {
    this.#verb = verb;
    this.#choose = choose;
    this.node = make("section", "jllm-models", make("h3", "", title), this.#first, this.#others);
    this.node.setAttribute("aria-label", title);
  }

  /** Show models; what unfolds the others stays, with its focus. */
  show(models: Model[]): void {
    if (models === this.#shown) return;
    this.#shown = models;
    this.node.hidden = models.length === 0;
    this.#first.replaceChildren(...models.slice(0, MOST).map((model) => this.#row(model)));
    const others = models.slice(MOST);
    this.#others.hidden = others.length === 0;
    this.#summary.textContent = others.length > 0 ? trans.__("%1 more", others.length) : "";
    this.#more.replaceChildren(...others.map((model) => this.#row(model)));
  }

  #row({ name, note, is_loaded }: Model): HTMLElement {
    const word = is_loaded ? trans.__("Loaded") : this.#verb;
    const choice = makeButton(
      word,
      () => {
        if (!is_loaded) this.#choose(name);
      },
      { isPlain: false },
    );
    choice.value = name;
    choice.setAttribute("aria-label", `${word} ${name}`);
    if (is_loaded) choice.setAttribute("aria-disabled", "true"); // it keeps the focus
    const text = make("span", "", make("strong", "", name), make("small", "", note));
    return make("li", "", text, choice);
  }
}
