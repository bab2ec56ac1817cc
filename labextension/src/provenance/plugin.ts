/** The plugin that says what in a notebook a model wrote. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { Connections } from "../connection/connections.js";
import { markSwitchedOff } from "../dom/switches.js";
import { addBadges } from "./badges.js";
import { showRecord } from "./record_dialog.js";

export const provenance: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:provenance",
  description: "Marks what a model wrote, and shows what is recorded of it.",
  autoStart: true,
  requires: [Connections],
  optional: [ITranslator, ISettingRegistry],
  activate: (
    _app: JupyterFrontEnd,
    connections: Connections,
    translator: ITranslator | null,
    settings: ISettingRegistry | null,
  ) => {
    void markSwitchedOff(settings, provenance.id, "badges");
    const trans = (translator ?? nullTranslator).load("jupyter_llm");
    connections.added.connect((_, { panel, connection }) => {
      addBadges(panel, trans, (text) => void showRecord(text, connection, trans));
    });
  },
};
