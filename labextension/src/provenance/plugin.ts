/** The plugin that says what in a notebook a model wrote. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { Connections } from "../connection/connections.js";
import { markSwitchedOff } from "../dom/switches.js";
import { addBadges } from "./badges.js";
import { showRecord } from "./record_dialog.js";

export const provenance: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:provenance",
  description: "Marks what a model wrote, and shows what is recorded of it.",
  autoStart: true,
  requires: [Connections],
  optional: [ISettingRegistry],
  activate: (
    _app: JupyterFrontEnd,
    connections: Connections,
    settings: ISettingRegistry | null,
  ) => {
    void markSwitchedOff(settings, provenance.id, "badges");
    connections.added.connect((_, { panel, connection }) => {
      addBadges(panel, (text) => void showRecord(text, connection));
    });
  },
};
