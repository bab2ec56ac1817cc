/** The front end of ChatPanel: what anywidget calls. */

import { createComposer } from "./compose/composer.js";
import { createPanel } from "./frame/panel.js";
import { createStore } from "./kernel/store.js";
import { createNotebook } from "./page/cells.js";

/**
 * @import { AnyWidget } from "@anywidget/types"
 * @import { ChatMessageOf } from "./connection/messages.js"
 * @import { Store } from "./kernel/store.js"
 */

/**
 * Make what one widget model and all its views are.
 *
 * @returns {ReturnType<Extract<AnyWidget, Function>>}
 */
export default () => {
  /** @type {Store | undefined} */
  let store;
  /** @type {Set<HTMLElement>} */
  const views = new Set();
  const speaker = () => [...views].find((view) => view.checkVisibility());

  return {
    initialize({ model }) {
      const made = createStore(model);
      store = made;
      return () => made.dispose();
    },

    render({ model, el }) {
      if (!store) return;
      const made = store;
      const notebook = createNotebook(model, el);
      const composer = createComposer({ store, notebook, describe });
      const panel = createPanel({
        store,
        notebook,
        composer,
        isSpeaker: () => speaker() === panel.element,
      });
      const unsubscribe = store.subscribe((changed) => {
        const { transcript } = made.state;
        if (changed.has("transcript") && transcript) {
          notebook?.writeTranscript(String(model.get("panel_id")), transcript);
        }
      });
      views.add(panel.element);
      el.append(panel.element);
      store.connect(notebook !== null);
      return () => {
        unsubscribe();
        views.delete(panel.element);
        panel.dispose();
        notebook?.dispose();
        if (views.size === 0) made.disconnect();
      };

      /** @type {import("./compose/suggestions.js").Describe} */
      async function describe(kind, name) {
        const { reply } = made.request({ type: "describe", kind, name });
        return /** @type {ChatMessageOf<"text">} */ (await reply).text;
      }
    },
  };
};
