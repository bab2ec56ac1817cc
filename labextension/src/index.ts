/** JupyterLab's side of jupyter_llm: its plugins. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { INotebookTracker } from "@jupyterlab/notebook";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { cellActions } from "./actions/plugin.js";
import { Connections, OpenConnections } from "./connection/connections.js";
import { speak } from "./dom/words.js";
import { ghostText } from "./ghost/plugin.js";
import { lendNotebooks } from "./page/cells.js";
import { NotebookPage } from "./page/notebook_page.js";
import { promptCells } from "./prompt_cells/plugin.js";
import { provenance } from "./provenance/plugin.js";
import { sideBarPlugin } from "./sidebar/plugin.js";
import { statusBarPlugin } from "./status_bar/plugin.js";

const connections: JupyterFrontEndPlugin<Connections> = {
  id: "jupyter-llm:connections",
  description: "Connects notebooks to jupyter_llm in their kernels.",
  autoStart: true,
  provides: Connections,
  requires: [INotebookTracker, IDocumentManager],
  optional: [ITranslator],
  activate: (
    { commands }: JupyterFrontEnd,
    tracker: INotebookTracker,
    manager: IDocumentManager,
    translator: ITranslator | null,
  ) => {
    speak((translator ?? nullTranslator).load("jupyter_llm"));
    // Chromium looks up the host of a link as soon as it is drawn, and a model may write data there.
    const meta = { httpEquiv: "x-dns-prefetch-control", content: "off" };
    document.head.append(Object.assign(document.createElement("meta"), meta));
    const open = new OpenConnections();
    tracker.widgetAdded.connect((_, panel) => open.add(panel));
    lendNotebooks((context, element) => {
      const isOpen = tracker.find((panel) => panel.context === context);
      return isOpen ? new NotebookPage({ tracker, commands, manager, context, element }) : null;
    });
    return open;
  },
};

export { IJupyterLLM } from "./connection/public.js";

export default [
  connections,
  sideBarPlugin,
  cellActions,
  ghostText,
  statusBarPlugin,
  promptCells,
  provenance,
];
