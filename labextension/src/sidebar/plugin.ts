/** The plugin of the side bar. */

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { INotebookTracker } from "@jupyterlab/notebook";
import { IStateDB } from "@jupyterlab/statedb";
import { LabIcon } from "@jupyterlab/ui-components";
import { Connections } from "../connection/connections.js";
import { CHAT } from "../connection/public.js";
import { trans } from "../dom/words.js";
import { addChatCommands } from "./commands.js";
import { IDS, SideBar } from "./side_bar.js";

const ICON = new LabIcon({
  name: "jupyter-llm:chat",
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 ' +
    '2h-8l-5 4v-4H4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm2 4v2h12V7zm0 4v2h8v-2z"/></svg>',
});

export const sideBarPlugin: JupyterFrontEndPlugin<void> = {
  id: "jupyter-llm:side-bar",
  description: "Shows the chat of the notebook in front beside it.",
  autoStart: true,
  requires: [INotebookTracker, Connections],
  optional: [ICommandPalette, ILayoutRestorer, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: Connections,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    memory: IStateDB | null,
  ) => {
    const { commands, shell } = app;
    const sideBar = new SideBar(app, connections, memory);
    sideBar.id = "jupyter-llm-side-bar";
    sideBar.title.icon = ICON;
    const name = trans.__("Chat");
    sideBar.title.caption = name;
    shell.add(sideBar, "right", { rank: 800, type: name });
    restorer?.add(sideBar, sideBar.id);
    tracker.currentChanged.connect((_, panel) => sideBar.follow(panel));
    sideBar.follow(tracker.currentWidget);
    commands.addCommand(CHAT, {
      label: trans.__("LLM: Chat about the Notebook"),
      icon: ICON,
      execute: ({ label, text }) => {
        shell.activateById(sideBar.id);
        if (typeof text === "string") sideBar.attach({ label: String(label), text });
      },
      describedBy: {
        args: {
          type: "object",
          properties: { label: { type: "string" }, text: { type: "string" } },
        },
      },
    });
    addChatCommands(app, sideBar);
    const category = trans.__("Language Model");
    for (const command of [CHAT, ...Object.values(IDS)]) palette?.addItem({ command, category });
  },
};
