/** A table of models, each with a button that does something with it. */

import { checkIcon, downloadIcon } from "@jupyterlab/ui-components";
import type { Model, ModelTable } from "../connection/messages.js";
import { button, entry } from "./elements.js";

export interface TableWords {
  title: string;
  /** What a button does, as a screen reader says it; without it the button says which is pressed. */
  label?: (name: string) => string;
}

export class ModelTableView {
  readonly node = document.createElement("div");
  readonly #words: TableWords;
  readonly #choose: (model: Model) => void;
  #shown: ModelTable | null = null;

  constructor(words: TableWords, choose: (model: Model) => void) {
    this.#words = words;
    this.#choose = choose;
    this.node.className = "jllm-model-table";
  }

  /** Show models; the focus stays where it was among them. */
  show(table: ModelTable | null): void {
    if (table === this.#shown) return;
    this.#shown = table;
    const at = [...this.node.querySelectorAll("button")].indexOf(
      document.activeElement as HTMLButtonElement,
    );
    this.node.hidden = !table?.models.length;
    this.node.replaceChildren(...(table ? [this.#table(table)] : []));
    this.node.querySelectorAll("button")[at]?.focus();
  }

  #table({ columns, models }: ModelTable): HTMLElement {
    const table = document.createElement("table");
    table.append(entry("caption", this.#words.title));
    const head = table.createTHead().insertRow();
    for (const column of columns) {
      const cell = entry("th", column);
      cell.setAttribute("scope", "col");
      head.append(cell);
    }
    const body = table.createTBody();
    for (const model of models) body.append(this.#row(model));
    return table;
  }

  #row(model: Model): HTMLElement {
    const { label } = this.#words;
    const choice = button("", () => this.#choose(model));
    choice.className = "jllm-model-choice";
    const mark = document.createElement("span");
    const icon = label ? downloadIcon : model.is_loaded ? checkIcon : null;
    icon?.element({ container: mark, elementSize: "normal" });
    choice.append(mark, entry("span", model.name));
    if (label) choice.setAttribute("aria-label", label(model.name));
    else choice.setAttribute("aria-pressed", String(model.is_loaded));
    const row = document.createElement("tr");
    const name = document.createElement("td");
    name.append(choice);
    row.append(name, ...model.facts.map((fact) => entry("td", fact)));
    return row;
  }
}
