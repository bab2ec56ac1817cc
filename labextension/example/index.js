/** An extension that uses jupyter_llm: it adds an action on cells and attaches a text to the chat.
 *
 * tests/browser/test_extension.py builds it. `sharedPackages` in package.json brings the token.
 */

import { INotebookTracker } from "@jupyterlab/notebook";
import { IJupyterLLM } from "jupyter-llm";

/** @import { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application" */

const TYPES = "jupyter-llm-example:add-types";
const METADATA = "jupyter-llm-example:attach-metadata";

/** @type {JupyterFrontEndPlugin<void>} */
const plugin = {
  id: "jupyter-llm-example:plugin",
  description: "Adds type annotations to cells, and attaches a notebook's metadata to its chat.",
  autoStart: true,
  requires: [IJupyterLLM, INotebookTracker],
  activate: (
    /** @type {JupyterFrontEnd} */ { commands },
    /** @type {IJupyterLLM} */ llm,
    /** @type {INotebookTracker} */ tracker,
  ) => {
    commands.addCommand(TYPES, {
      label: "Add Type Annotations",
      isEnabled: () => tracker.activeCell?.model.type === "code",
      execute: () => llm.editCell("Add type annotations; change nothing else."),
    });
    commands.addCommand(METADATA, {
      label: "Attach the Notebook's Metadata",
      isEnabled: () => tracker.currentWidget !== null,
      execute: () => {
        const { metadata } = tracker.currentWidget?.model ?? {};
        return llm.attach("metadata", JSON.stringify(metadata, null, 2));
      },
    });
    llm.addCellCommand(TYPES);
    llm.addCellCommand(METADATA);
  },
};

export default plugin;
