/** Shows in an editor what a proposal would change, while the text in it stays the old one. */

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, WidgetType } from "@codemirror/view";
import { withVisibleControls } from "../dom/characters.js";
import { hunks } from "../dom/diff.js";

/** Writes code into an element, in colours. */
export type Highlight = (code: string, element: HTMLElement) => Promise<void>;

const set = StateEffect.define<DecorationSet>();

const field = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) if (effect.is(set)) return effect.value;
    return transaction.docChanged ? Decoration.none : marks; // they are about another text
  },
  provide: (self) => EditorView.decorations.from(self),
});

const REMOVED = Decoration.line({ class: "jllm-removed-line" });

/** Mark what turns the editor's text into another. */
export function showChanges(view: EditorView, after: string, highlight: Highlight): void {
  const before = view.state.doc.toString();
  const marks = hunks(before, after).flatMap(({ removed, added, at, isAbove }) => {
    const lines = removed.map(({ from }) => REMOVED.range(from));
    if (added.length === 0) return lines;
    const code = added.map(({ text }) => text).join("\n");
    const widget = new AddedLines(withVisibleControls(code), highlight);
    return [...lines, Decoration.widget({ widget, block: true, side: isAbove ? -1 : 1 }).range(at)];
  });
  dispatch(view, Decoration.set(marks, true));
}

/** Take all such marks away. */
export function hideChanges(view: EditorView): void {
  if (view.state.field(field, false)?.size) dispatch(view, Decoration.none);
}

function dispatch(view: EditorView, marks: DecorationSet): void {
  const isKnown = view.state.field(field, false) !== undefined;
  const effects: StateEffect<unknown>[] = [set.of(marks)];
  if (!isKnown) view.dispatch({ effects: StateEffect.appendConfig.of(field) });
  view.dispatch({ effects });
}

class AddedLines extends WidgetType {
  readonly #code: string;
  readonly #highlight: Highlight;

  constructor(code: string, highlight: Highlight) {
    super();
    this.#code = code;
    this.#highlight = highlight;
  }

  override eq(other: AddedLines): boolean {
    return this.#code === other.#code;
  }

  override toDOM(): HTMLElement {
    const element = document.createElement("ins");
    element.className = "jllm-added-lines";
    element.append(...inLines([new Text(this.#code)]));
    void coloured(this.#code, this.#highlight).then((parts) => {
      element.replaceChildren(...inLines(parts));
    });
    return element;
  }
}

/** Code as pieces of text, some of them in elements that give them their colour. */
export async function coloured(code: string, highlight: Highlight): Promise<Node[]> {
  const element = document.createElement("span");
  await highlight(code, element).catch(() => element.replaceChildren(code));
  return [...element.childNodes];
}

/** Pieces of text as one element a line. */
function inLines(parts: Node[]): HTMLElement[] {
  const newLine = () => Object.assign(document.createElement("span"), { className: "cm-line" });
  const lines = [newLine()];
  for (const part of parts) {
    (part.textContent ?? "").split("\n").forEach((text, index) => {
      if (index > 0) lines.push(newLine());
      const piece = part.cloneNode();
      piece.textContent = text;
      lines.at(-1)?.append(piece);
    });
  }
  return lines;
}
