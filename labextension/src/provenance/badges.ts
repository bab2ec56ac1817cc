/** Small badges at what a model wrote: under the source of a cell, and under its outputs. */

import { type ICellModel, isCodeCellModel } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { type PanelLayout, Widget } from "@lumino/widgets";
import type { Metadata } from "../connection/messages.js";
import { make } from "../dom/elements.js";
import { keepShortcutsOut } from "../dom/shortcuts.js";
import { language, trans } from "../dom/words.js";
import { keepAtCells } from "../page/at_cells.js";
import { labelOf, type Made, madeBy, plainText } from "./made.js";

/** A text that a model wrote, with what is recorded of it. */
export interface Generated {
  metadata: Metadata;
  /** The source as it stands now, or the output as plain text. */
  text(): string | null;
  made: Made[];
}

/** The place of a badge in its cell. */
type Where = "source" | "outputs";

/** Keep badges at all that models wrote in a notebook; `show` is called with what was clicked. */
export function addBadges(panel: NotebookPanel, show: (generated: Generated) => void): void {
  keepAtCells(panel, (cell) => {
    const layout = cell.layout as PanelLayout;
    const found = { source: ofSource(cell.model), outputs: ofOutputs(cell.model) };
    for (const where of ["source", "outputs"] as const) {
      const rows = layout.widgets.filter((part) => part instanceof BadgeRow);
      let row = rows.find((one) => one.where === where);
      if (!row && found[where].length > 0) {
        const input = layout.widgets.findIndex((part) => part.hasClass("jp-Cell-inputWrapper"));
        row = new BadgeRow(where, show);
        layout.insertWidget(where === "source" ? input + 1 : layout.widgets.length - 1, row);
      }
      row?.present(found[where]);
    }
  });
}

function ofSource(model: ICellModel): Generated[] {
  const metadata = model.metadata as Metadata;
  const made = madeBy(metadata, model.sharedModel.getSource());
  return made.length > 0 ? [{ metadata, text: () => model.sharedModel.getSource(), made }] : [];
}

function ofOutputs(model: ICellModel): Generated[] {
  if (!isCodeCellModel(model)) return [];
  const found: Generated[] = [];
  for (let index = 0; index < model.outputs.length; index += 1) {
    const output = model.outputs.get(index);
    const metadata = output.metadata as Metadata;
    const made = madeBy(metadata);
    if (made.length > 0) found.push({ metadata, text: () => plainText(output.data), made });
  }
  return found;
}

class BadgeRow extends Widget {
  #generated: Generated[] = [];
  #labels = "";

  constructor(
    readonly where: Where,
    readonly onShow: (generated: Generated) => void,
  ) {
    super();
    this.addClass("jllm-badges");
    keepShortcutsOut(this.node); // Enter is the button's, and not the notebook's
  }

  /** Show a badge for each of these texts; one that is there already stays, with its focus. */
  present(generated: Generated[]): void {
    this.#generated = generated;
    const labels = generated.map(({ made }) => labelOf(made, language()));
    this.setHidden(labels.length === 0);
    if (JSON.stringify(labels) === this.#labels) return;
    this.#labels = JSON.stringify(labels);
    this.node.replaceChildren(...labels.map((label, index) => this.#badge(label, index)));
  }

  #badge(label: string, index: number): HTMLElement {
    const title =
      this.where === "source"
        ? trans.__("Code written by %1. Show the record", label)
        : trans.__("Answer written by %1. Show the record", label);
    const onclick = () => {
      const generated = this.#generated[index];
      if (generated) this.onShow(generated);
    };
    const properties = { type: "button", title, ariaLabel: title, onclick } as const;
    return make("button", { className: "jllm-badge", ...properties }, label);
  }
}
