/** The chats that panels saved in a notebook's outputs, to be read without a kernel. */

import type { ICodeCellModel } from "@jupyterlab/cells";
import { make } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { createModelText } from "../markdown/model_text.js";

/** The chats in the outputs of cells as Markdown; in the metadata of one stands whose it is. */
export function savedChats(cells: Iterable<object>): string[] {
  const texts = new Map<unknown, string>(); // several cells may show the same one
  for (const { outputs } of cells as Iterable<Partial<ICodeCellModel>>) {
    for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
      const { metadata = {}, data = {} } = outputs?.get(index) ?? {};
      const panel = metadata.jupyter_llm_transcript;
      if (panel) texts.set(panel, String(data["text/plain"]));
    }
  }
  return [...texts.values()].filter((text) => text.includes("\n* * *\n")); // others say: empty
}

/** An element that shows them; null where there are none. */
export function savedView(cells: Iterable<object>): HTMLElement | null {
  const chats = savedChats(cells);
  if (chats.length === 0) return null;
  const note = trans.__("This is what the notebook was saved with. It can be read only.");
  const ariaLabel = trans.__("Saved chats");
  const properties = { className: "jllm-panel jllm-saved", tabIndex: 0, ariaLabel }; // it scrolls
  const element = make("section", properties, make("p", "", note));
  for (const text of chats) {
    const view = createModelText();
    view.update(text, true);
    element.append(make("article", "", view.element));
  }
  return element;
}
