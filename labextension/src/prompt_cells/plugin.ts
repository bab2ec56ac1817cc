/** The plugin that knows `%%llm` cells. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import { EditorExtensionRegistry, IEditorExtensionRegistry } from "@jupyterlab/codemirror";
import { Connections } from "../connection/connections.js";
import { sendDrafts } from "./cell_drafts.js";
import { letLand } from "./landing.js";
import { magicLine } from "./magic_line.js";
import { colourPrompts } from "./prompt_cell.js";

export const promptCells: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:prompt-cells",
  description: "Colours %%llm cells, has the model read them early, and lets their code land.",
  autoStart: true,
  requires: [Connections, IEditorExtensionRegistry],
  activate: (
    _app: JupyterFrontEnd,
    connections: Connections,
    extensions: IEditorExtensionRegistry,
  ) => {
    const seen = new WeakSet<CodeEditor.IModel>(); // a cell gets a new editor now and then
    extensions.addExtension({
      name: "jupyter-llm:prompt-cells",
      factory: ({ model }) => {
        const { sharedModel } = model;
        if (!("cell_type" in sharedModel) || sharedModel.cell_type !== "code") return null;
        if (!seen.has(model)) colourPrompts(model);
        seen.add(model);
        return EditorExtensionRegistry.createImmutableExtension(magicLine);
      },
    });
    connections.added.connect((_, { panel, connection }) => sendDrafts(panel, connection));
    letLand(connections);
  },
};
