/** A model's text outside of the chat panel: drawn as there, plain until that script is loaded. */

import { withVisibleControls } from "../dom/characters.js";
import { make } from "../dom/elements.js";
import type { MarkdownView } from "./markdown.js";
import { panelScript } from "./panel_script.js";

/** A view for a text that there is now: to make it fetches what draws it. */
export function createModelText(): MarkdownView {
  const element = make("div", "jllm-model-text");
  let shown: Parameters<MarkdownView["update"]> = ["", false];
  let view: MarkdownView | null = null;
  const show = () => {
    if (view) view.update(...shown);
    else element.textContent = withVisibleControls(shown[0]);
  };
  panelScript().then(
    ({ createMarkdownView }) => {
      view = createMarkdownView();
      element.replaceChildren(view.element);
      element.classList.add("jllm-mod-drawn");
      show();
    },
    () => {}, // the text is there
  );
  return {
    element,
    update(...next) {
      shown = next;
      show();
    },
  };
}
