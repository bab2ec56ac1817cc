/** Sets the line with the magic of a `%%llm` cell off from the prompt below. */

import { type EditorState, type Extension, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView } from "@codemirror/view";
import { isPromptCell } from "./prompt_cell.js";

const LINE = Decoration.line({ class: "jllm-magic-line" });

function lineOf({ doc }: EditorState): DecorationSet {
  for (let number = 1; number <= doc.lines; number += 1) {
    const { text, from } = doc.line(number);
    if (text.trim()) return isPromptCell(text) ? Decoration.set(LINE.range(from)) : Decoration.none;
  }
  return Decoration.none;
}

/** Belongs into the editors of code cells. */
export const magicLine: Extension = StateField.define<DecorationSet>({
  create: lineOf,
  update: (lines, change) => (change.docChanged ? lineOf(change.state) : lines),
  provide: (field) => EditorView.decorations.from(field),
});
