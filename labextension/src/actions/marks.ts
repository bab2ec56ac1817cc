/** Shows in an editor what a proposal would change, while the text in it stays the old one. */

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, WidgetType } from "@codemirror/view";
import { withVisibleControls } from "../dom/characters.js";
import { type DiffLine, hunks } from "../dom/diff.js";
import { make, makeButton } from "../dom/elements.js";
import { trans } from "../dom/words.js";

/** Writes code into an element, in colours. */
export type Highlight = (code: string, element: HTMLElement) => Promise<void>;

/** Takes in what a person says of one change of several, counted from 0; null: Escape, of all. */
export type Decide = (index: number | null, isAccepted: boolean) => void;

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
const WORDS = "jllm-changed-words";

/**
 * Mark what turns the editor's text into another. Where that is several changes, each has buttons; a
 * text that is still being written has none to `decide` about.
 */
export function showChanges(
  view: EditorView,
  after: string,
  highlight: Highlight,
  decide: Decide | null,
): void {
  const before = view.state.doc.toString();
  const all = hunks(before, after);
  const marks = all.flatMap(({ removed, added, at, isAbove }, index) => {
    const lines = removed.flatMap(({ from, changed }) => [
      REMOVED.range(from),
      ...changed.map(([start, end]) =>
        Decoration.mark({ class: WORDS }).range(from + start, from + end),
      ),
    ]);
    if (!after || (added.length === 0 && all.length === 1)) return lines; // nothing comes
    const place = { index, count: decide ? all.length : 1 };
    const widget = new NewLines(added.map(visible), highlight, place, decide ?? (() => {}));
    return [...lines, Decoration.widget({ widget, block: true, side: isAbove ? -1 : 1 }).range(at)];
  });
  dispatch(view, Decoration.set(marks, true));
}

/** Take all such marks away. */
export function hideChanges(view: EditorView): void {
  if (view.state.field(field, false)?.size) dispatch(view, Decoration.none);
}

function dispatch(view: EditorView, marks: DecorationSet): void {
  const hasField = view.state.field(field, false) !== undefined;
  const effects: StateEffect<unknown>[] = [set.of(marks)];
  if (!hasField) view.dispatch({ effects: StateEffect.appendConfig.of(field) });
  view.dispatch({ effects });
}

/** A line with what would hide or turn some of it, which then has other places. */
function visible(line: DiffLine): DiffLine {
  const text = withVisibleControls(line.text);
  return text === line.text ? line : { ...line, text, changed: [] };
}

/** The lines that a change adds, and, where it is one of several, buttons for it alone. */
class NewLines extends WidgetType {
  readonly #key: string;

  constructor(
    readonly lines: readonly DiffLine[],
    readonly highlight: Highlight,
    readonly place: { index: number; count: number },
    readonly decide: Decide,
  ) {
    super();
    this.#key = JSON.stringify([lines, place]);
  }

  override eq(other: NewLines): boolean {
    return this.#key === other.#key;
  }

  override toDOM(): HTMLElement {
    const element = make("div", "jllm-hunk");
    if (this.lines.length > 0) {
      const code = this.lines.map(({ text }) => text).join("\n");
      const added = make("ins", "jllm-added-lines", ...inLines([new Text(code)], this.lines));
      const coloured = make("span", "");
      const show = () => added.replaceChildren(...inLines([...coloured.childNodes], this.lines));
      this.highlight(code, coloured).then(show, () => {}); // without colours, then
      element.append(added);
    }
    if (this.place.count > 1) element.append(this.#buttons());
    return element;
  }

  #buttons(): HTMLElement {
    const [number, count] = [this.place.index + 1, this.place.count];
    const accept = makeButton(trans.__("Accept"), () => this.decide(number - 1, true));
    const reject = makeButton(trans.__("Reject"), () => this.decide(number - 1, false));
    accept.setAttribute("aria-label", trans.__("Accept change %1 of %2", number, count));
    reject.setAttribute("aria-label", trans.__("Reject change %1 of %2", number, count));
    const buttons = make("div", "jllm-hunk-buttons", accept, reject);
    // JupyterLab would go on into the editor around them.
    buttons.addEventListener("focusin", (event) => event.stopPropagation());
    buttons.addEventListener("keydown", (event) => {
      if (["Enter", " ", "Escape"].includes(event.key)) event.stopPropagation(); // no text for it
      if (event.key === "Escape" && !event.isComposing) this.decide(null, false);
    });
    return buttons;
  }
}

/** Pieces of text as one element a line, with what changed in the lines marked. */
function inLines(parts: Node[], lines: readonly DiffLine[]): HTMLElement[] {
  const made = lines.map(() => make("span", "cm-line"));
  let [row, place] = [0, 0];
  for (const part of parts) {
    (part.textContent ?? "").split("\n").forEach((text, index) => {
      if (index > 0) [row, place] = [row + 1, 0];
      for (const { piece, isChanged } of cut(text, place, lines[row]?.changed ?? [])) {
        const copy = part.cloneNode();
        copy.textContent = piece;
        made[row]?.append(isChanged ? make("span", WORDS, copy) : copy);
      }
      place += text.length;
    });
  }
  return made;
}

/** A piece of a line that begins at a place there, cut where changes begin and end. */
function cut(text: string, place: number, changed: DiffLine["changed"]) {
  const inside = changed.flat().map((at) => Math.min(Math.max(at - place, 0), text.length));
  const stops = [...new Set([0, ...inside, text.length])];
  return stops.slice(0, -1).map((start, index) => ({
    piece: text.slice(start, stops[index + 1]),
    isChanged: changed.some(([from, to]) => from <= place + start && place + start < to),
  }));
}
