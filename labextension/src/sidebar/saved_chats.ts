/** What the panels of a notebook left in its outputs, to be read where no kernel tells of it. */

import type { ICodeCellModel } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { make } from "../dom/elements.js";
import { trans } from "../dom/words.js";
import { createModelText } from "../markdown/model_text.js";

/** In the metadata of such an output stands whose it is; its plain text has these breaks. */
const KEY = "jupyter_llm_transcript";
const BREAK = "\n\n* * *\n\n";

/** The chats in a notebook's outputs, each as its prompts and answers in Markdown. */
export function savedChats(cells: Iterable<object>): string[][] {
  const texts = new Map<unknown, string[]>(); // several cells may show the same one
  for (const { outputs } of cells as Iterable<Partial<ICodeCellModel>>) {
    for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
      const output = outputs?.get(index);
      const panel = output?.metadata[KEY];
      if (panel) texts.set(panel, String(output.data["text/plain"]).split(BREAK));
    }
  }
  return [...texts.values()].filter(({ length }) => length > 1); // one says that it is empty
}

/** An element that shows them, in the way a panel does; null where there are none. */
export function savedView({ content }: NotebookPanel): HTMLElement | null {
  const chats = savedChats(content.model?.cells ?? []);
  if (chats.length === 0) return null;
  const note = trans.__("This is what the notebook was saved with. It can be read only.");
  const element = make("section", "jllm-panel jllm-saved", make("p", "", note));
  element.tabIndex = 0; // it is to be scrolled
  element.setAttribute("aria-label", trans.__("Saved chats"));
  for (const parts of chats) {
    const views = parts.map((text) => {
      const view = createModelText();
      view.update(text, true);
      return view.element;
    });
    element.append(make("article", "", ...views));
  }
  return element;
}
