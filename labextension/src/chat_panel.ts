/** The front end of ChatPanel: what anywidget calls. */

import type { AnyWidget } from "@anywidget/types";
import { createComposer } from "./compose/composer.js";
import { createPanel } from "./frame/panel.js";
import { Store } from "./kernel/store.js";
import { createNotebook } from "./page/cells.js";
import { modelOf } from "./page/document.js";
import { writeTranscript } from "./page/transcripts.js";

export { createMarkdownView } from "./markdown/markdown.js";

/** Make what one widget model and all its views are. */
export default (): ReturnType<Extract<AnyWidget, () => unknown>> => {
  let store: Store | undefined;
  const views = new Set<HTMLElement>();
  const speaker = () => [...views].find((view) => view.checkVisibility());

  return {
    initialize({ model }) {
      const made = new Store(model);
      store = made;
      made.subscribe((changed) => {
        if (!changed.has("connection")) return;
        // It may be another kernel, or have been told bye.
        made.models.follow(made.state.connection === "ready" ? made : null);
      });
      // Another page writes the transcript from then on; if this one comes back, it is asked.
      const leave = () => made.call("bye", {});
      window.addEventListener("pagehide", leave);
      return () => {
        window.removeEventListener("pagehide", leave);
        made.dispose();
      };
    },

    render({ model, el }) {
      if (!store) return;
      const made = store;
      const document = modelOf(model.widget_manager);
      const notebook = createNotebook(model.widget_manager, el);
      const composer = createComposer(store, notebook);
      const isSpeaker = () => speaker() === panel.element;
      const panel = createPanel(store, notebook, composer, isSpeaker);
      const unsubscribe = store.subscribe((changed) => {
        const { transcript } = made.state;
        if (document && changed.has("transcript") && transcript) {
          writeTranscript(document, String(model.get("panel_id")), transcript);
        }
      });
      model.on("attach", composer.attach); // from beside the chat, where a host offers it
      views.add(panel.element);
      el.append(panel.element);
      store.connect(document !== null);
      return () => {
        unsubscribe();
        model.off("attach", composer.attach);
        views.delete(panel.element);
        panel.dispose();
        notebook?.dispose();
        if (views.size === 0) made.disconnect();
      };
    },
  };
};
