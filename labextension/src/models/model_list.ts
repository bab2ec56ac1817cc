/** A list of models, each with a button that does something with it. */

import type { Model, ModelRole, Models } from "../connection/messages.js";
import { make, makeButton } from "../dom/elements.js";
import { inWords, trans } from "../dom/words.js";

/** The number of models that are shown at once; the others unfold. */
const MOST = 4;

/** Those that are here are loaded with a click, those that suit the machine are pulled. */
export class ModelListView {
  readonly #first = make("ul", "");
  readonly #summary = make("summary", "");
  readonly #more = make("ul", "");
  readonly #others = make("details", "", this.#summary, this.#more);
  readonly node: HTMLElement;
  readonly #kind: keyof Models;
  readonly #choose: (name: string) => void;
  #shown = "";

  constructor(kind: keyof Models, choose: (name: string) => void) {
    this.#kind = kind;
    this.#choose = choose;
    const title =
      kind === "here" ? trans.__("On this machine") : trans.__("To download, best first");
    this.node = make(
      "section",
      { className: "jllm-models", ariaLabel: title },
      ...[make("h3", "", title), this.#first, this.#others],
    );
  }

  /** Show models, to be used for a role; what unfolds the others stays, with its focus. */
  show(all: Models | null, role: ModelRole): void {
    const models = all?.[this.#kind] ?? [];
    const key = JSON.stringify([models, role]);
    if (key === this.#shown) return;
    this.#shown = key;
    this.node.hidden = models.length === 0;
    const rows = models.map((model) => this.#row(model, model.roles.includes(role)));
    this.#first.replaceChildren(...rows.splice(0, MOST));
    this.#more.replaceChildren(...rows);
    this.#summary.textContent = rows.length > 0 ? trans.__("%1 more", inWords(rows.length)) : "";
    this.#others.hidden = rows.length === 0;
  }

  #row({ name, note }: Model, isLoaded: boolean): HTMLElement {
    const [word, ariaLabel] = isLoaded
      ? [trans.__("Loaded"), trans.__("Loaded %1", name)]
      : this.#kind === "here"
        ? [trans.__("Load"), trans.__("Load %1", name)]
        : [trans.__("Pull"), trans.__("Pull %1", name)];
    const choose = () => void (isLoaded || this.#choose(name));
    const choice = makeButton(word, choose, { isPlain: false, value: name, ariaLabel });
    if (isLoaded) choice.ariaDisabled = "true"; // it keeps the focus
    const text = make("span", "", make("strong", "", name), make("small", "", note));
    return make("li", "", text, choice);
  }
}
